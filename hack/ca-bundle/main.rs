//! Prints the certificate authorities of Mozilla's list as PEM, for the image: the same list on every machine.

use std::io::Write;

use data_encoding::BASE64;

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for certificate in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        writeln!(out, "-----BEGIN CERTIFICATE-----")?;
        for line in BASE64.encode(certificate).as_bytes().chunks(64) {
            out.write_all(line)?;
            writeln!(out)?;
        }
        writeln!(out, "-----END CERTIFICATE-----")?;
    }
    Ok(())
}
