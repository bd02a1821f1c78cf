//! Pingora asks a connection for many facts. These macros answer for a connection that wraps another one.

/// Delegates pingora's stream traits to the field `connection`.
macro_rules! delegate_stream_traits {
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

/// Delegates writes to the field `connection`, unchanged.
macro_rules! delegate_writes {
    ($wrapper:ty) => {
        const _: () = {
            use std::io;
            use std::pin::Pin;
            use std::task::{Context, Poll};

            use tokio::io::AsyncWrite;

            impl AsyncWrite for $wrapper {
                fn poll_write(
                    mut self: Pin<&mut Self>,
                    context: &mut Context<'_>,
                    bytes: &[u8],
                ) -> Poll<io::Result<usize>> {
                    Pin::new(&mut self.connection).poll_write(context, bytes)
                }

                fn poll_flush(
                    mut self: Pin<&mut Self>,
                    context: &mut Context<'_>,
                ) -> Poll<io::Result<()>> {
                    Pin::new(&mut self.connection).poll_flush(context)
                }

                fn poll_shutdown(
                    mut self: Pin<&mut Self>,
                    context: &mut Context<'_>,
                ) -> Poll<io::Result<()>> {
                    Pin::new(&mut self.connection).poll_shutdown(context)
                }

                fn poll_write_vectored(
                    mut self: Pin<&mut Self>,
                    context: &mut Context<'_>,
                    slices: &[io::IoSlice<'_>],
                ) -> Poll<io::Result<usize>> {
                    Pin::new(&mut self.connection).poll_write_vectored(context, slices)
                }

                fn is_write_vectored(&self) -> bool {
                    self.connection.is_write_vectored()
                }
            }
        };
    };
}

pub(in crate::proxy) use delegate_stream_traits;
pub(in crate::proxy) use delegate_writes;
