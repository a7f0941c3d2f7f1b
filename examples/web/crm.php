<?php
// A CRM in one file: whoever is logged in gets a telephone with the extension that the CRM knows of.
// The secret stays on this server; the page gets a token that ends in an hour, and a new one in time.
//
//   JWT_SECRET=… GATEWAY=https://pbx.lan:8766 php -S 127.0.0.1:8000 crm.php

session_start();
$secret = getenv('JWT_SECRET') ?: exit("JWT_SECRET is not set: it is the gateway's jwt_secret\n");
$gateway = getenv('GATEWAY') ?: 'https://' . $_SERVER['HTTP_HOST'];
// Your own login knows who this is.
$_SESSION['ext'] ??= '2001';

function token(string $secret, string $ext): string
{
    $part = fn(string $x): string => rtrim(strtr(base64_encode($x), '+/', '-_'), '=');
    $body = $part('{"alg":"HS256","typ":"JWT"}') . '.' . $part(json_encode(['ext' => $ext, 'iat' => time(), 'exp' => time() + 3600]));
    return $body . '.' . $part(hash_hmac('sha256', $body, $secret, true));
}

if (parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH) === '/token') {
    // A POST of this page only: another site's page can't read the answer, and must not cause one.
    if ($_SERVER['REQUEST_METHOD'] !== 'POST') { http_response_code(405); exit; }
    header('Content-Type: text/plain');
    header('Cache-Control: no-store');
    echo token($secret, $_SESSION['ext']);
    exit;
}
$safe = htmlspecialchars($gateway, ENT_QUOTES);
?>
<!doctype html>
<html lang="ja">
<meta charset="utf-8">
<title>CRM</title>
<link rel="icon" href="data:,">
<script type="module" src="<?= $safe ?>/sdk/element.js"></script>
<ast-phone token-url="/token" screen-pop="?phone={from}" click-to-dial></ast-phone>
<?php if (isset($_GET['phone'])): ?>
<p>お客様: <button data-tel="<?= htmlspecialchars($_GET['phone'], ENT_QUOTES) ?>"><?= htmlspecialchars($_GET['phone']) ?></button></p>
<?php endif ?>
</html>
