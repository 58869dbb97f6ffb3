//! Git repositories over HTTP on 127.0.0.1, by git's own `http-backend`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, Response, Uri};
use tokio::io::AsyncWriteExt;

use super::process::ok;

pub struct Git {
    root: PathBuf,
    address: std::net::SocketAddr,
}

impl Git {
    /// Serves the repositories below `root` as long as the runtime runs.
    pub async fn serve(root: PathBuf) -> Self {
        std::fs::create_dir(&root).unwrap();
        let app = axum::Router::new().fallback(answer).layer(DefaultBodyLimit::disable()).with_state(root.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { root, address }
    }

    /// Where a repository that is called `<name>.git` elsewhere is here.
    pub fn url(&self, name: &str) -> String {
        format!("http://{}/{name}.git", self.address)
    }

    /// Makes the branch `main` of a repository consist of these files; gives the commit.
    pub fn commit(&self, name: &str, files: &[(&str, String)]) -> String {
        let repository = self.root.join(format!("{name}.git"));
        if !repository.exists() {
            ok(Command::new("git").args(["init", "--quiet", "--bare", "--initial-branch=main"]).arg(&repository));
        }
        let tree = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = tree.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        let git = |arguments: &[&str]| {
            let mut git = Command::new("git");
            git.env("GIT_DIR", &repository).env("GIT_WORK_TREE", tree.path()).env("HOME", &self.root);
            ok(git.args(["-c", "user.name=test", "-c", "user.email=test@example.com"]).args(arguments))
        };
        git(&["add", "--all"]);
        git(&["commit", "--quiet", "--allow-empty", "--message=Change"]);
        git(&["rev-parse", "HEAD"]).trim().to_owned()
    }
}

/// All files below a directory, by their path in it.
pub fn files(directory: &Path) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            files.extend(self::files(&path).into_iter().map(|(below, content)| (format!("{name}/{below}"), content)));
        } else {
            files.push((name, std::fs::read_to_string(&path).unwrap()));
        }
    }
    files
}

/// One request by CGI.
async fn answer(
    State(root): State<PathBuf>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let header = |name: &str| headers.get(name).map(|it| it.to_str().unwrap()).unwrap_or_default();
    let mut backend = tokio::process::Command::new("git");
    backend.arg("http-backend").kill_on_drop(true).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    backend.env("GIT_PROJECT_ROOT", &root).env("GIT_HTTP_EXPORT_ALL", "1").env("HOME", &root);
    backend.env("PATH_INFO", uri.path()).env("QUERY_STRING", uri.query().unwrap_or_default());
    backend.env("REQUEST_METHOD", method.as_str()).env("CONTENT_LENGTH", body.len().to_string());
    backend.env("CONTENT_TYPE", header("content-type")).env("HTTP_CONTENT_ENCODING", header("content-encoding"));
    backend.env("GIT_PROTOCOL", header("git-protocol"));
    let mut child = backend.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writing = tokio::spawn(async move { stdin.write_all(&body).await });
    let output = child.wait_with_output().await.unwrap().stdout;
    let _closed_early = writing.await.unwrap().is_err();
    let end = output.windows(4).position(|it| it == b"\r\n\r\n").unwrap_or(output.len());
    let mut response = Response::builder();
    for line in String::from_utf8_lossy(&output[..end]).lines() {
        let Some((name, value)) = line.split_once(": ") else { continue };
        response = match name {
            "Status" => response.status(value.split(' ').next().unwrap().parse::<u16>().unwrap()),
            name => response.header(name, value),
        };
    }
    response.body(Body::from(output[(end + 4).min(output.len())..].to_vec())).unwrap()
}
