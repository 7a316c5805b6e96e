//! The least of PostgreSQL's protocol that a `SELECT 1` needs.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

pub(crate) async fn serve() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(answer(client));
        }
    });
    port
}

async fn answer(mut client: TcpStream) -> std::io::Result<()> {
    // The start: its length, counting itself, then the version and the settings.
    let length = client.read_u32().await?;
    let mut start = vec![0; length as usize - 4];
    client.read_exact(&mut start).await?;
    // Authentication is fine; ready for a query.
    client.write_all(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I").await?;
    loop {
        let kind = client.read_u8().await?;
        let length = client.read_u32().await?;
        let mut body = vec![0; length as usize - 4];
        client.read_exact(&mut body).await?;
        if kind != b'Q' {
            return Ok(());
        }
        client
            .write_all(b"C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I")
            .await?;
    }
}
