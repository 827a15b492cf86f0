//! A bare Pingora pass-through: what Pingora itself costs, beside which the gateway's own work is measured.
//!
//! It has what the gateway has below its stages: the allocator, the threads, runtimes without work stealing, a pool of
//! kept upstream connections. It looks at nothing. With `--work-stealing` it runs as Pingora does by default; with
//! `--apart` each thread has a listening socket and an upstream pool of its own, as the gateway's threads have.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use async_trait::async_trait;
use pingora::listeners::TcpSocketOptions;
use pingora::prelude::{HttpPeer, ProxyHttp, Session};
use pingora::proxy::http_proxy_service;
use pingora::server::Server;
use pingora::server::configuration::ServerConf;
use pingora::services::Service as _;
use pingora_runtime::Runtime;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Upstream connections kept open for reuse; as many as the gateway keeps.
const UPSTREAM_POOL: usize = 256;

struct PassThrough {
    upstream: SocketAddr,
}

#[async_trait]
impl ProxyHttp for PassThrough {
    type CTX = ();

    fn new_ctx(&self) -> Self::CTX {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut Self::CTX) -> pingora::Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.upstream, false, String::new())))
    }
}

struct Arguments {
    listen: SocketAddr,
    upstream: SocketAddr,
    threads: usize,
    work_stealing: bool,
    apart: bool,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let (mut listen, mut upstream, mut threads) = (None, None, 2);
        let (mut work_stealing, mut apart) = (false, false);
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{word} needs a value"));
            match word.as_str() {
                "--listen" => listen = Some(value()?.parse()?),
                "--upstream" => upstream = Some(value()?.parse()?),
                "--threads" => threads = value()?.parse()?,
                "--work-stealing" => work_stealing = true,
                "--apart" => apart = true,
                other => anyhow::bail!("unknown argument {other}"),
            }
        }
        Ok(Self {
            listen: listen.context("--listen ADDRESS is missing")?,
            upstream: upstream.context("--upstream ADDRESS is missing")?,
            threads,
            work_stealing,
            apart,
        })
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse(std::env::args().skip(1))?;
    let conf = ServerConf {
        threads: arguments.threads,
        work_stealing: arguments.work_stealing,
        upstream_keepalive_pool_size: UPSTREAM_POOL,
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(0),
        ..ServerConf::default()
    };
    if arguments.apart {
        return apart(&arguments, conf);
    }
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, PassThrough { upstream: arguments.upstream });
    service.add_tcp(&arguments.listen.to_string());
    server.add_service(service);
    server.run_forever()
}

/// A runtime of one thread, a listening socket and a pool for each thread; nothing is shared between them.
fn apart(arguments: &Arguments, conf: ServerConf) -> anyhow::Result<()> {
    let conf = Arc::new(conf);
    let (_running, shutdown) = tokio::sync::watch::channel(false);
    let mut runtimes = Vec::new();
    for _ in 0..arguments.threads {
        let mut service = http_proxy_service(&conf, PassThrough { upstream: arguments.upstream });
        let mut socket = TcpSocketOptions::default();
        socket.so_reuseport = Some(true);
        service.add_tcp_with_settings(&arguments.listen.to_string(), socket);
        let runtime = Runtime::new_no_steal(1, "bare");
        let shutdown = shutdown.clone();
        runtime.get_handle().spawn(async move { service.start_service(None, shutdown, 1).await });
        runtimes.push(runtime);
    }
    loop {
        std::thread::park();
    }
}
