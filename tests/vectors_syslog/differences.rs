//! Where the data path of the real Logplex and ours differ, and why.

/// Where we differ: the transcript's name, our HTTP frames' content, and why.
pub(crate) const DIFFERENT: &[(&str, &str, &str)] = &[
    (
        "sd and no message",
        "<134>1 2012-12-10T03:00:48.123456Z host app web.1 - \n",
        "a message that ends early is carried, its text empty",
    ),
    (
        "NO sd field, only one dash (log-shuttle style mistake)",
        "<134>1 2012-12-10T03:00:48.123456Z host app web.1 - just one dash\n",
        "what is no structured data is text",
    ),
    (
        "empty message (no trailing space)",
        "<134>1 2012-12-10T03:00:48.123456Z host app web.1 - \n",
        "a message that ends early is carried, its text empty",
    ),
    (
        "token also in the host field",
        "<134>1 2012-12-10T03:00:48Z host app web.1 - hostfield\n",
        "the token is replaced in APP-NAME and reaches no reader from any other field",
    ),
    ("pri 192", PRI_13, "PRI above 191 is carried as 13"),
    ("pri 255", PRI_13, "PRI above 191 is carried as 13"),
    ("pri 256", PRI_13, "PRI above 191 is carried as 13"),
    ("pri 999", PRI_13, "PRI above 191 is carried as 13"),
    ("pri -1", PRI_13, "a malformed PRI is carried as 13"),
    ("pri a", PRI_13, "a malformed PRI is carried as 13"),
    ("pri ", PRI_13, "a malformed PRI is carried as 13"),
    (
        "version 2",
        "<134>1 2012-12-10T03:00:48Z host app web.1 - v2\n",
        "any VERSION is taken, for drains as for tails",
    ),
    (
        "no version",
        "<134>1 2012-12-10T03:00:48Z host app - - web.1 - - nov\n",
        "a time right behind PRI is RFC 3164 as rsyslog sends it, and names a token",
    ),
    (
        "rfc3164",
        "<134>1 2012-12-10T03:00:48+00:00 host app - - legacy\n",
        "RFC 3164 is taken where the tag is a token",
    ),
    (
        "LF-framed",
        "<134>1 2012-12-10T03:00:48.123456Z host app web.1 - lf framed\n",
        "newline framing is taken",
    ),
    (
        "CRLF-framed",
        "<134>1 2012-12-10T03:00:48.123456Z host app web.1 - crlf framed\n",
        "newline framing is taken",
    ),
];

const PRI_13: &str = "<13>1 2012-12-10T03:00:48Z host app web.1 - pri\n";
