//! What pingora wants to know of a connection, for one that stands around another.

/// Says of a type what its field `connection` says.
macro_rules! says_what_its_connection_says {
    ($wrapper:ty) => {
        const _: () = {
            use std::sync::Arc;
            use std::time::Duration;

            use async_trait::async_trait;
            use pingora::protocols::raw_connect::ProxyDigest;
            use pingora::protocols::{
                GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest,
                Ssl, TimingDigest, UniqueID, UniqueIDType,
            };

            #[async_trait]
            impl Shutdown for $wrapper {
                async fn shutdown(&mut self) {
                    Shutdown::shutdown(&mut *self.connection).await;
                }
            }

            #[async_trait]
            impl Peek for $wrapper {}

            impl UniqueID for $wrapper {
                fn id(&self) -> UniqueIDType {
                    self.connection.id()
                }
            }

            impl Ssl for $wrapper {
                fn get_ssl(&self) -> Option<&pingora::tls::ssl::SslRef> {
                    self.connection.get_ssl()
                }

                fn get_ssl_digest(&self) -> Option<Arc<pingora::protocols::tls::SslDigest>> {
                    self.connection.get_ssl_digest()
                }

                fn selected_alpn_proto(&self) -> Option<pingora::protocols::ALPN> {
                    self.connection.selected_alpn_proto()
                }
            }

            impl GetTimingDigest for $wrapper {
                fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
                    self.connection.get_timing_digest()
                }

                fn get_read_pending_time(&self) -> Duration {
                    self.connection.get_read_pending_time()
                }

                fn get_write_pending_time(&self) -> Duration {
                    self.connection.get_write_pending_time()
                }
            }

            impl GetProxyDigest for $wrapper {
                fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
                    self.connection.get_proxy_digest()
                }

                fn set_proxy_digest(&mut self, digest: ProxyDigest) {
                    self.connection.set_proxy_digest(digest);
                }
            }

            impl GetSocketDigest for $wrapper {
                fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
                    self.connection.get_socket_digest()
                }

                fn set_socket_digest(&mut self, digest: SocketDigest) {
                    self.connection.set_socket_digest(digest);
                }
            }
        };
    };
}

pub(super) use says_what_its_connection_says;
