//! Which machines a caller reaches: all, or with a token that was made so, those with some labels. Default deny: an endpoint of
//! which it is not said how it keeps to them refuses such a token.

use std::{convert::Infallible, sync::Arc};

use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::request::Parts,
};

use super::{
    api::machines,
    error::{Code, Problem, short},
};
use crate::state::{
    View,
    label::Selector,
    machine::{Machine, MachineId},
    ops::MachineError,
};

/// The variable segment of paths that names a machine.
pub(super) const MACHINE: &str = "machine";

/// How an endpoint keeps to the machines that its caller reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach {
    /// It does not: it is about the whole site.
    #[default]
    Site,
    /// It is about no machine: who asks, and what anybody may read.
    Caller,
    /// The machine that its path names is looked at before its handler is.
    Machine,
    /// Its handler looks.
    Handler,
}

/// The machines that a caller reaches. A handler takes it as an argument.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Scope(Option<Arc<Selector>>);

impl Scope {
    /// Machines with these labels; `None`: all.
    pub(super) fn of(labels: Option<&Selector>) -> Self {
        Self(labels.cloned().map(Arc::new))
    }

    /// The labels; `None`: all machines.
    pub(crate) fn labels(&self) -> Option<&Selector> {
        self.0.as_deref()
    }

    /// Whether they reach this machine now. What is no machine, or none any more, is only reached by who reaches all.
    pub(crate) fn reaches(&self, machine: Option<&MachineId>, view: &View) -> bool {
        let fits = |labels: &Selector| {
            let machine = machine.and_then(|id| view.machine(id));
            machine.is_some_and(|machine| labels.fits(&machine.labels))
        };
        self.labels().is_none_or(fits)
    }

    /// The machine that `text` names. One that is not reached is answered as one that is not there.
    pub(crate) fn find(&self, view: &View, text: &str) -> Result<Arc<Machine>, Problem> {
        let found = machines::find(view, text)?;
        match self.reaches(Some(&found.id), view) {
            true => Ok(found),
            false => Err(MachineError::NotFound(short(text)).into()),
        }
    }

    /// That the machine that `text` names is reached; to who reaches all whoever changes it says whether there is one.
    pub(crate) fn check(&self, view: &View, text: &str) -> Result<(), Problem> {
        match self.labels() {
            Some(_) => self.find(view, text).map(drop),
            None => Ok(()),
        }
    }

    /// Of the machines that a selector means those that are reached.
    pub(crate) fn narrow(&self, selector: Selector) -> Result<Selector, Problem> {
        let Some(labels) = self.labels() else {
            return Ok(selector);
        };
        let both = selector.and(labels);
        both.map_err(|error| Problem::new(Code::BadValue, format!("selector: {error}")))
    }

    /// That all of the site is reached.
    pub(crate) fn whole(&self) -> Result<(), Problem> {
        let Some(labels) = self.labels() else {
            return Ok(());
        };
        let text = format!(
            "this token is for machines with {labels} only, and this is about more than those; take a token without labels"
        );
        Err(Problem::new(Code::Forbidden, text))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Scope {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or_default())
    }
}

/// Refuses what its caller does not reach. The machine that the request is about, where they do not reach all.
pub(super) async fn within(
    parts: &mut Parts,
    reach: Reach,
    view: &View,
) -> Result<Option<(MachineId, Scope)>, Problem> {
    let scope: Scope = parts.extensions.get().cloned().unwrap_or_default();
    match reach {
        Reach::Caller | Reach::Handler => return Ok(None),
        Reach::Site => return scope.whole().map(|()| None),
        Reach::Machine if scope.labels().is_none() => return Ok(None),
        Reach::Machine => {}
    }
    let params = RawPathParams::from_request_parts(parts, &()).await.ok();
    let named = params.iter().flatten().find(|(name, _)| *name == MACHINE);
    // A path without a machine is about more than one.
    let Some((_, text)) = named else {
        return scope.whole().map(|()| None);
    };
    let machine = scope.find(view, text)?;
    Ok(Some((machine.id.clone(), scope)))
}
