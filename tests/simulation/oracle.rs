//! What must hold: at every moment, and in the end.

use serde_json::Value;

use super::orion::{Kept, OrionState};
use super::person::{key, secret_key};
use super::world::{NAMESPACE, World, instance};

impl World {
    /// S9: an attempt is stored before its POST; and no attempt is sent twice unless it was refused.
    pub fn posting(&self, token: &str, owner: &str) {
        let is_recorded = self.api.store().log.iter().rev().any(|change| {
            let name = &change.key.2;
            let attempt = change.object["metadata"]["annotations"]["orion-operator.dev/create-attempt"].as_str();
            attempt.is_some_and(|attempt| attempt.split(' ').next() == Some(token)) && owner == marker(name)
        });
        if !is_recorded {
            self.violation(format!("POST under {token}, which was not stored before"));
        }
        let before = self.orion().posts.insert(format!("{token} of {owner}"), false);
        if before == Some(false) {
            self.violation(format!("a second POST under {token}, whose first one was not refused"));
        }
    }

    /// S1: one living webhook of a Webhook, at every moment.
    pub fn created(&self, state: &OrionState, id: &str) {
        let owner = state.webhooks.get(id).and_then(|kept| kept.owner.clone()).unwrap_or_default();
        let owned = state.owned(&owner);
        if owned.len() > 1 && !*self.is_forced.lock().unwrap() {
            self.violation(format!("two webhooks of one Webhook: {owned:?}"));
        }
    }

    /// S5: what is another's is not changed.
    pub fn updating(&self, state: &OrionState, id: &str, new: &Kept) {
        let owner = state.webhooks.get(id).and_then(|kept| kept.owner.clone());
        if owner.is_some() && new.owner.is_some() && owner != new.owner {
            self.violation(format!("PUT to {id}, which is another's"));
        }
    }

    /// S6: what a living Webhook has stored is not deleted.
    pub fn deleting(&self, id: &str) {
        for (key, object) in self.webhooks() {
            let is_living = object["metadata"].get("deletionTimestamp").is_none();
            if is_living && object["status"]["webhookId"] == id && !*self.is_forced.lock().unwrap() {
                self.violation(format!("DELETE of {id}, which {} has stored", key.2));
            }
        }
    }

    /// S8: a Secret's value goes nowhere but to Orion.
    pub fn no_secret_in(&self, path: &str, body: &[u8]) {
        let text = String::from_utf8_lossy(body);
        if text.contains("s3cr3t") || text.contains("czNjcjN0") {
            self.violation(format!("a secret value in a write to {path}"));
        }
    }

    /// The end is right: each living Webhook has one webhook, as declared; nothing else of ours is there.
    pub fn check_end(&self) -> Result<Vec<String>, String> {
        if let Some(violation) = self.violations().first() {
            return Err(violation.clone());
        }
        if self.plan().has_no_end() {
            return Err("there is no end of calls".into());
        }
        let mut end = Vec::new();
        let mut ids = Vec::new();
        for (key, object) in self.webhooks() {
            let id = object["status"]["webhookId"].as_str().unwrap_or_default().to_owned();
            let told = || format!("{} of {object:#}\nat Orion: {:#?}", key.2, self.orion().webhooks);
            let kept = self.orion().webhooks.get(&id).cloned();
            let Some(kept) = kept else { return Err(format!("nothing at Orion is stored in {}", told())) };
            let wanted = self.declared(&key.2, &object);
            let shown = (kept.url, kept.user_id, kept.presence_name, kept.headers, kept.owner);
            if shown != wanted {
                return Err(format!("{wanted:?} is declared, and {shown:?} is at Orion; {}", told()));
            }
            self.rests(&object).map_err(|what| format!("{what}: {}", told()))?;
            end.push(format!("{} {shown:?}", key.2));
            ids.push(id);
        }
        let left: Vec<String> = self.orion().webhooks.keys().filter(|id| !ids.contains(id)).cloned().collect();
        if !left.is_empty() {
            return Err(format!("left at Orion: {left:?}"));
        }
        Ok(end)
    }

    #[allow(clippy::type_complexity)]
    fn declared(&self, name: &str, object: &Value) -> (String, String, String, Vec<(String, String)>, Option<String>) {
        let text = |field: &str| object["spec"][field].as_str().unwrap().to_owned();
        let secret = self.api.store().get(&secret_key()).unwrap()["data"]["token"].as_str().unwrap().to_owned();
        let secret = String::from_utf8(data_encoding::BASE64.decode(secret.as_bytes()).unwrap()).unwrap();
        let headers = vec![("X-Team".to_owned(), "data".to_owned()), ("X-Secret".to_owned(), secret)];
        (text("url"), text("userId"), text("presenceName"), headers, Some(marker(name)))
    }

    /// The object says that all is well, and holds what it must.
    fn rests(&self, object: &Value) -> Result<(), String> {
        let (metadata, status) = (&object["metadata"], &object["status"]);
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        let says = conditions.iter().map(|c| format!("{}={}", c["type"], c["status"])).collect::<Vec<_>>();
        let attempt = metadata["annotations"]["orion-operator.dev/create-attempt"].as_str();
        let token = attempt.and_then(|attempt| attempt.split(' ').next());
        let secret = self.api.store().get(&secret_key()).unwrap()["metadata"]["resourceVersion"].clone();
        let expect = [
            ("Ready is not all it says", says == [r#""Ready"="True""#]),
            ("the generation is old", status["observedGeneration"] == metadata["generation"]),
            ("no finalizer", metadata["finalizers"] == serde_json::json!(["orion-operator.dev/webhook"])),
            ("an attempt is open", token.is_none() || status["settledAttempt"].as_str() == token),
            ("the Secret is old", status["appliedSecrets"][0]["resourceVersion"] == secret),
            ("it is going", metadata.get("deletionTimestamp").is_none()),
        ];
        expect.iter().find(|(_, holds)| !holds).map_or(Ok(()), |(what, _)| Err((*what).to_owned()))
    }

    /// The message of Ready.
    pub fn reason(&self, number: usize) -> Option<(String, String)> {
        let store = self.api.store();
        let object = store.get(&key(number)).ok()?;
        let ready = object["status"]["conditions"].as_array()?.iter().find(|c| c["type"] == "Ready")?;
        Some((ready["reason"].as_str()?.to_owned(), ready["message"].as_str()?.to_owned()))
    }
}

/// The marker of a Webhook.
pub fn marker(name: &str) -> String {
    instance().owner(NAMESPACE, name).as_str().to_owned()
}
