pub struct Verifier; pub struct Claims{pub ext:String} 
#[derive(Debug,thiserror::Error)] #[error("x")] pub struct TokenError; impl TokenError{pub fn reason(&self)->&'static str{""}}
impl Verifier{ pub fn verify(&self,_t:&str)->Result<Claims,TokenError>{Err(TokenError)} }
