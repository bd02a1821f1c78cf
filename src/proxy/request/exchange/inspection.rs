//! Runs the phases of the request and the last one: short ones here, long ones on a thread for them.

use std::sync::Arc;

use super::Exchange;
use crate::proxy::inspection::inspector::Inspector;
use crate::proxy::shared::refusal::Refusal;
use crate::proxy::shared::refusal_code::RefusalCode;
use crate::telemetry::WafFacts;
use crate::telemetry::otlp::TraceLink;

impl Exchange {
    pub(super) async fn inspect_head(&mut self) -> Result<(), Refusal> {
        let Some(inspector) = &mut self.inspector else {
            return Ok(());
        };
        inspector.read_head(&self.received);
        if !inspector.is_long() {
            return inspector.request_head();
        }
        self.inspect_away(Inspector::request_head).await
    }

    pub(super) async fn inspect_body(&mut self) -> Result<(), Refusal> {
        let Some(inspector) = &mut self.inspector else {
            return Ok(());
        };
        let before = inspector.bytes();
        let is_coded = self.received.header(b"content-encoding").is_some();
        inspector.expect_body(&self.body, is_coded);
        if !inspector.is_long() {
            return inspector.request_body(&self.body);
        }
        let body = self.body.clone();
        let inspected = self
            .inspect_away(move |inspector| inspector.request_body(&body))
            .await;
        if let (Err(refusal), Some(inspector)) = (&inspected, &mut self.inspector)
            && refusal.code == RefusalCode::InspectionBusy
        {
            // The body was not looked at, so phase 5 is short and need not wait for a busy thread.
            inspector.expect_no_more_than(before);
        }
        inspected
    }

    /// Runs a phase on another thread. The reservation of the body goes along: if this request is cancelled meanwhile,
    /// the memory counts as used until the thread has released the body.
    async fn inspect_away(
        &mut self,
        phase: impl FnOnce(&mut Inspector) -> Result<(), Refusal> + Send + 'static,
    ) -> Result<(), Refusal> {
        let bytes = self.inspector.as_ref().map_or(0, Inspector::bytes);
        // The inspector is taken only when there is a thread: after a refusal phase 5 still needs it.
        let place = self.front.inspection_threads.place(bytes).await?;
        let Some(mut inspector) = self.inspector.take() else {
            return Ok(());
        };
        let reservation = self.reservation.take();
        let mut away = place.begin(move || {
            let result = phase(&mut inspector);
            (inspector, reservation, result)
        });
        let (inspector, reservation, result) = away.back().await?;
        self.inspector = Some(inspector);
        self.reservation = reservation;
        result
    }

    /// Runs phase 5, and writes the audit record if the rules ask for one.
    pub(super) async fn finish_inspection(&mut self, status: u16) -> Option<WafFacts> {
        let mut inspector = self.inspector.take()?;
        let front = Arc::clone(&self.front);
        let trace = self.trace.as_deref().map(TraceLink::from);
        let work = move |inspector: &mut Inspector| {
            let facts = inspector.finish();
            if front.audit.is_on()
                && let Some(record) = inspector.audit_record(status)
            {
                front.audit.write(&record, trace);
            }
            facts
        };
        let place = match inspector.is_long() {
            true => {
                self.front
                    .inspection_threads
                    .place_at_last(inspector.bytes())
                    .await
            }
            false => None,
        };
        let Some(place) = place else {
            let facts = work(&mut inspector);
            self.inspector = Some(inspector);
            return Some(facts);
        };
        let mut away = place.begin(move || {
            let facts = work(&mut inspector);
            (inspector, facts)
        });
        match away.back().await {
            Ok((inspector, facts)) => {
                self.inspector = Some(inspector);
                Some(facts)
            }
            Err(panicked) => {
                let why = panicked.reason.unwrap_or_default();
                tracing::error!(target: "waf", request_id = self.id, "phase 5: {why}");
                None
            }
        }
    }
}
