//! Certificate authorities and leaves for the tests, made once.

use std::path::Path;
use std::sync::LazyLock;

use dev_pki::{Authority, Issued, LeafOptions, Usage};
use openssl::pkey::PKey;
use openssl::ssl::{SslAcceptor, SslMethod, SslVersion};
use openssl::x509::X509;

pub static PUBLIC: LazyLock<Authority> = LazyLock::new(|| Authority::new("Public CA", 10).unwrap());
pub static CORP: LazyLock<Authority> =
    LazyLock::new(|| Authority::new("Corp CA 2026", 10).unwrap());
pub static OLD: LazyLock<Authority> = LazyLock::new(|| Authority::new("Old Corp CA", 10).unwrap());

/// A leaf for an upstream.
pub fn leaf(ca: &Authority, name: &str) -> Issued {
    ca.leaf(&[name], &LeafOptions::default()).unwrap()
}

pub fn expired(ca: &Authority, name: &str) -> Issued {
    let options = LeafOptions {
        starts_in_days: -20,
        ends_in_days: -10,
        ..LeafOptions::default()
    };
    ca.leaf(&[name], &options).unwrap()
}

/// A leaf without a subjectAltName.
pub fn common_name(ca: &Authority, name: &str) -> Issued {
    let options = LeafOptions {
        common_name: Some(name.to_owned()),
        ..LeafOptions::default()
    };
    ca.leaf(&[], &options).unwrap()
}

/// A leaf of an intermediate that its server does not send.
pub fn incomplete(ca: &Authority, name: &str) -> Issued {
    let issuing = ca.intermediate("Corp Issuing CA", 10).unwrap();
    let mut issued = leaf(&issuing, name);
    issued.chain_pem = X509::from_pem(&issued.chain_pem).unwrap().to_pem().unwrap();
    issued
}

pub fn client(ca: &Authority, name: &str) -> Issued {
    let options = LeafOptions {
        usage: Usage::Client,
        ..LeafOptions::default()
    };
    ca.leaf(&[name], &options).unwrap()
}

/// What a TLS server of the tests needs.
pub struct ServerTls {
    pub issued: Issued,
    pub newest: Option<SslVersion>,
    pub h2: bool,
    /// Clients must show a certificate of this authority.
    pub client_ca: Option<Authority>,
}

impl ServerTls {
    pub fn new(issued: Issued) -> Self {
        Self {
            issued,
            newest: None,
            h2: false,
            client_ca: None,
        }
    }

    pub fn acceptor(&self) -> SslAcceptor {
        let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
        let chain = X509::stack_from_pem(&self.issued.chain_pem).unwrap();
        let key = PKey::private_key_from_pem(&self.issued.key_pem).unwrap();
        // Before the key, which may be a weak one.
        builder.set_security_level(0);
        builder.set_certificate(&chain[0]).unwrap();
        builder.set_private_key(&key).unwrap();
        for more in &chain[1..] {
            builder.add_extra_chain_cert(more.clone()).unwrap();
        }
        if let Some(newest) = self.newest {
            builder.set_min_proto_version(None).unwrap();
            builder.clear_options(
                openssl::ssl::SslOptions::NO_TLSV1_1 | openssl::ssl::SslOptions::NO_TLSV1,
            );
            builder.set_cipher_list("ALL:@SECLEVEL=0").unwrap();
            builder.set_max_proto_version(Some(newest)).unwrap();
        }
        if let Some(ca) = &self.client_ca {
            let mut store = openssl::x509::store::X509StoreBuilder::new().unwrap();
            store.add_cert(ca.certificate().clone()).unwrap();
            builder.set_verify_cert_store(store.build()).unwrap();
            builder.set_verify(
                openssl::ssl::SslVerifyMode::PEER
                    | openssl::ssl::SslVerifyMode::FAIL_IF_NO_PEER_CERT,
            );
        }
        let h2 = self.h2;
        builder.set_alpn_select_callback(move |_, offered| {
            let wanted: &[u8] = if h2 { b"\x02h2" } else { b"\x08http/1.1" };
            openssl::ssl::select_next_proto(wanted, offered).ok_or(openssl::ssl::AlpnError::NOACK)
        });
        builder.build()
    }
}

/// Writes what every configuration of the tests names.
pub fn write(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    let front = PUBLIC
        .leaf(
            &["api.test", "other.test", "*.wild.test"],
            &LeafOptions::default(),
        )
        .unwrap();
    front
        .write(&folder.join("front.pem"), &folder.join("front.key"))
        .unwrap();
    for (name, ca) in [("corp", &*CORP), ("old", &*OLD)] {
        let pem = ca.certificate_pem().unwrap();
        std::fs::write(folder.join(format!("{name}-ca.pem")), pem).unwrap();
    }
    client(&CORP, "front door")
        .write(&folder.join("client.pem"), &folder.join("client.key"))
        .unwrap();
}
