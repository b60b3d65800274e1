//! Where a store is, and who asks.

/// Redis' own port.
const PORT: u16 = 6379;

/// What a URL says. It isn't shown: a password is in it.
#[derive(PartialEq, Eq)]
pub(super) struct Address {
    /// `host:port`, an IPv6 address in brackets.
    pub(super) node: String,
    pub(super) tls: bool,
    /// Empty for the default user.
    pub(super) user: String,
    pub(super) password: Option<String>,
    pub(super) database: u16,
}

// === impl Address ===

impl Address {
    /// What is wrong is told without what was given.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| {
            format!("the store's address: {what}; redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], or rediss://")
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("no redis:// or rediss:// in front"))?;
        let tls = match scheme {
            "redis" => false,
            "rediss" => true,
            _ => return Err(wrong("it begins with neither redis:// nor rediss://")),
        };
        let (who, rest) = rest.rsplit_once('@').map_or((None, rest), |(who, rest)| (Some(who), rest));
        let (place, database) = rest.split_once('/').unwrap_or((rest, ""));
        let database = if database.is_empty() { Ok(0) } else { database.parse() };
        let database = database.map_err(|_| wrong("the database is a number from 0 to 65535"))?;
        let (user, password) = match who.map(|who| who.split_once(':').ok_or(who)) {
            None => (String::new(), None),
            Some(Err(_)) => return Err(wrong("a user without a password")),
            Some(Ok((user, password))) => {
                let read =
                    |text| decode(text).ok_or_else(|| wrong("a % that isn't followed by two hexadecimal digits"));
                (read(user)?, Some(read(password)?))
            }
        };
        let node = node(place).ok_or_else(|| wrong("no HOST:PORT"))?;
        Ok(Self { node, tls, user, password, database })
    }
}

/// With a port; `None` for what is no host.
fn node(place: &str) -> Option<String> {
    let has_port = place.rsplit_once(':').is_some_and(|(host, _)| {
        !host.is_empty() && !host.ends_with(':') && (!host.contains(':') || host.ends_with(']'))
    });
    let whole = if has_port { place.to_owned() } else { format!("{place}:{PORT}") };
    let (host, port) = split(&whole)?;
    let good = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic() && !b"/?#@[]".contains(&byte));
    (good && port > 0).then_some(whole)
}

/// The host, without brackets, and the port.
pub(super) fn split(node: &str) -> Option<(&str, u16)> {
    let (host, port) = node.rsplit_once(':')?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if bare.is_none() && host.contains(':') {
        return None;
    }
    Some((bare.unwrap_or(host), port.parse().ok()?))
}

/// `%40` is `@`.
fn decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                let digits =
                    core::str::from_utf8(&digits).ok().filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()))?;
                u8::from_str_radix(digits, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Address {
        Address::parse(text).unwrap_or_else(|why| panic!("{text}: {why}"))
    }

    #[test]
    fn an_address_says_where_and_who() {
        let plain = parse("redis://10.0.0.7:6380");
        assert_eq!((plain.node.as_str(), plain.tls, plain.password, plain.database), ("10.0.0.7:6380", false, None, 0));
        let full = parse("rediss://ops:p%40ss%3Aw@store.example.com/3");
        assert_eq!((full.node.as_str(), full.tls, full.database), ("store.example.com:6379", true, 3));
        assert_eq!((full.user.as_str(), full.password.as_deref()), ("ops", Some("p@ss:w")));
        let default = parse("redis://:only@[::1]:7000/");
        assert_eq!((default.node.as_str(), default.user.as_str()), ("[::1]:7000", ""));
        assert_eq!(parse("redis://[::1]").node, "[::1]:6379");
        assert_eq!(split("[::1]:7000"), Some(("::1", 7000)));
    }

    #[test]
    fn what_is_no_address_is_refused_without_showing_a_password() {
        for text in [
            "localhost:6379",
            "http://a:1",
            "redis://",
            "redis://:1",
            "redis://a:0",
            "redis://a:99999",
            "redis://a:1/x",
            "redis://a/70000",
            "redis://secret@a:1",
            "redis://u:secret%4@a:1",
            "redis://u:secret%zz@a:1",
            "redis://u:secret@",
            "redis://::1:7",
            "redis://a b:1",
        ] {
            let why = Address::parse(text).err().unwrap_or_else(|| panic!("{text} is taken"));
            assert!(!why.contains("secret"), "{why}");
        }
    }
}
