//! What the arguments and links mean.

use super::Target;

#[test]
fn the_links_form_and_the_sockets_form_lead_to_the_same_place() {
    let page = Target::parse("https://localhost:8766/#token=a.b.c").expect("a link");
    let socket = Target::parse("wss://localhost:8766/phone?token=a.b.c").expect("a link");
    assert_eq!(page, socket);
    assert_eq!((page.path.as_str(), page.token.as_deref()), ("/phone", Some("a.b.c")));
}

#[test]
fn an_ipv6_address_loses_its_brackets_only_where_it_must() {
    let target = Target::parse("wss://[::1]:8766/phone").expect("a link");
    assert_eq!((target.host.as_str(), target.port), ("::1", 8766));
    assert_eq!(target.authority, "[::1]:8766");
    assert_eq!(target.token, None);
}

#[test]
fn what_is_no_link_is_refused() {
    assert!(Target::parse("localhost").is_err());
    assert!(Target::parse("ftp://localhost/").is_err());
}
