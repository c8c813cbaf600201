//! Batches, modes, credentials, settings and failures of the store, case by case.

use crate::channel::WhenFull;
use crate::control::tests::{Recorder, channel_id, listed, source, start, url};
use crate::control::{ChannelPatch, Control, ControlError, ControlSettings, Mode};
use crate::id::{ChannelId, CredentialId, Secret};
use crate::registry::{DrainOptions, Permission, WhenFullSetting};
use crate::store::{Landing, Store};

#[tokio::test]
async fn many_at_once_share_commits_and_stay_apart() {
    let dir = tempfile::tempdir().unwrap();
    let (control, recorder) = start(dir.path(), ControlSettings::default());
    let mut tasks = tokio::task::JoinSet::new();
    for index in 0..300_u64 {
        let control = control.clone();
        tasks.spawn(async move {
            match index % 3 {
                0 => {
                    let made = control
                        .create_numbered_channel(None, vec![source("app")])
                        .await;
                    made.unwrap();
                }
                1 => {
                    let id = ChannelId::from(index);
                    let patch = ChannelPatch::default();
                    control
                        .put_channel(id, vec![source("web")], patch)
                        .await
                        .unwrap();
                }
                _ => {
                    let id = channel_id("shared");
                    let patch = ChannelPatch::default();
                    control
                        .put_channel(id.clone(), Vec::new(), patch)
                        .await
                        .unwrap();
                    let options = DrainOptions::default();
                    let made = control.create_drain(id, url("http://h/"), options).await;
                    assert!(matches!(made, Ok(_) | Err(ControlError::DuplicateDrainUrl)));
                }
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let seen = listed(&control);
    assert_eq!(recorder.running(), seen);
    assert_eq!(seen.drains.len(), 1, "one URL, one drain");
    // A numbered channel is never one that was put, unless the put came later and changed it.
    let numbered = seen.tokens.values().filter(|row| row.1 == "app").count();
    let put = seen.tokens.values().filter(|row| row.1 == "web").count();
    assert!(numbered <= 100 && put == 100, "{numbered} {put}");
    control.stop().await;
}

#[tokio::test]
async fn modes_limits_and_the_end_refuse() {
    let dir = tempfile::tempdir().unwrap();
    let (control, _) = start(dir.path(), ControlSettings::default());
    let put = |id: &str| control.put_channel(channel_id(id), Vec::new(), ChannelPatch::default());
    put("a").await.unwrap();
    control.set_mode(Mode::ReadOnly);
    assert!(matches!(put("b").await, Err(ControlError::ReadOnly)));
    control.set_mode(Mode::Disabled);
    assert!(matches!(put("b").await, Err(ControlError::Disabled)));
    control.set_mode(Mode::Normal);
    assert_eq!(control.mode(), Mode::Normal);
    let named = ChannelPatch {
        name: Some("n".repeat(256)),
        ..ChannelPatch::default()
    };
    let refused = control.patch_channel(channel_id("a"), named).await;
    assert!(matches!(
        refused,
        Err(ControlError::NameTooLong { bytes: 256 })
    ));
    let many: Vec<_> = (0..1001).map(|n| source(&format!("s{n}"))).collect();
    let refused = control.create_numbered_channel(None, many).await;
    assert!(matches!(refused, Err(ControlError::TooManyTokens)));
    let options = DrainOptions {
        source: Some(String::new()),
        ..DrainOptions::default()
    };
    let refused = control.create_drain(channel_id("a"), None, options).await;
    assert!(matches!(refused, Err(ControlError::BadDrainOptions(_))));
    control.stop().await;
    control.stop().await;
    assert!(matches!(put("b").await, Err(ControlError::Stopping)));
    drop(Store::open(dir.path()).unwrap());
}

#[tokio::test]
async fn credentials_survive_without_their_secret() {
    let dir = tempfile::tempdir().unwrap();
    let (control, _) = start(dir.path(), ControlSettings::default());
    let id = CredentialId::new("ops").unwrap();
    let permissions = vec![Permission::FullApi, Permission::FullApi];
    let made = control.put_credential(id.clone(), None, permissions).await;
    let (entry, secret) = made.unwrap();
    let secret = secret.unwrap();
    assert_eq!(entry.permissions, [Permission::FullApi]);
    control.stop().await;
    let bytes = std::fs::read(dir.path().join("logboom.redb")).unwrap();
    let needle = secret.expose().as_bytes();
    assert!(!bytes.windows(needle.len()).any(|window| window == needle));
    let (control, _) = start(dir.path(), ControlSettings::default());
    assert!(control.directory().authenticate("ops", &secret).is_some());
    let given = Some(Secret::new("other"));
    let (_, made) = control
        .put_credential(id.clone(), given, Vec::new())
        .await
        .unwrap();
    assert!(made.is_none());
    assert!(control.directory().authenticate("ops", &secret).is_none());
    assert!(
        control
            .directory()
            .authenticate("ops", &Secret::new("other"))
            .is_some()
    );
    control.delete_credential(id.clone()).await.unwrap();
    let again = control.delete_credential(id).await;
    assert!(matches!(again, Err(ControlError::UnknownCredential)));
    control.stop().await;
}

#[tokio::test]
async fn the_default_of_when_full_reaches_those_that_follow_it() {
    let dir = tempfile::tempdir().unwrap();
    let (control, recorder) = start(dir.path(), ControlSettings::default());
    for (id, setting) in [
        ("d", WhenFullSetting::Default),
        ("l", WhenFullSetting::Lose),
    ] {
        let patch = ChannelPatch {
            when_full: Some(setting),
            ..ChannelPatch::default()
        };
        control
            .put_channel(channel_id(id), Vec::new(), patch)
            .await
            .unwrap();
    }
    control.set_default_when_full(WhenFull::Wait).await.unwrap();
    let patch = ChannelPatch::default();
    control
        .put_channel(channel_id("e"), Vec::new(), patch)
        .await
        .unwrap();
    let running = recorder.running();
    let seen: Vec<_> = running
        .channels
        .iter()
        .map(|(id, row)| (id.as_str(), row.2))
        .collect();
    assert_eq!(seen, [("d", "wait"), ("e", "wait"), ("l", "lose")]);
    control.stop().await;
}

#[tokio::test]
async fn after_a_failed_commit_memory_follows_the_file() {
    for landing in [Landing::Landed, Landing::Lost] {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        store.fault = Some(landing);
        let recorder = Recorder::default();
        let settings = ControlSettings::default();
        let control = Control::start_with(store, recorder.clone(), settings).unwrap();
        let put = |id: &str| {
            control.put_channel(channel_id(id), vec![source("app")], ChannelPatch::default())
        };
        assert!(matches!(put("a").await, Err(ControlError::Store(_))));
        assert_eq!(control.directory().counts().channels, 0);
        put("b").await.unwrap();
        let expected = if landing == Landing::Landed { 2 } else { 1 };
        assert_eq!(control.directory().counts().channels, expected);
        let seen = listed(&control);
        assert_eq!(recorder.running(), seen);
        control.stop().await;
        let (control, _) = start(dir.path(), settings);
        assert_eq!(listed(&control), seen);
        control.stop().await;
    }
}

#[tokio::test]
async fn a_broken_store_is_mended_without_a_change() {
    for (landing, expected) in [(Landing::Landed, 1), (Landing::Lost, 0)] {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        store.fault = Some(landing);
        let recorder = Recorder::default();
        let control =
            Control::start_with(store, recorder.clone(), ControlSettings::default()).unwrap();
        assert!(!control.is_store_broken());
        let put = control.put_channel(channel_id("a"), Vec::new(), ChannelPatch::default());
        assert!(matches!(put.await, Err(ControlError::Store(_))));
        assert!(control.is_store_broken());
        let mut broken = control.shared.store_broken.clone();
        let mended = broken.wait_for(|&is_broken| !is_broken);
        let deadline = std::time::Duration::from_secs(30);
        drop(tokio::time::timeout(deadline, mended).await.unwrap());
        assert_eq!(control.directory().counts().channels, expected);
        assert_eq!(recorder.running(), listed(&control));
        control.stop().await;
    }
}
