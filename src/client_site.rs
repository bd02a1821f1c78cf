//! What counts as one client where addresses are counted.

use std::net::IpAddr;

/// The address, and of IPv6 the first 64 bits, since whoever has one address of a /64 has all of them.
pub(crate) fn client_site(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(network.into())
        }
        v4 => v4,
    }
}
