//! Which endpoints there are and which role each asks for. A handler gets in only together with its role. `within` also says how it
//! keeps to the machines that its caller reaches; what is put `at` a role alone refuses who does not reach the whole site.

use super::{
    api::{
        activations, audit, boot_configs, boots, certificates, clock, commands, database,
        deployments, events, explain, facts, files, heard_sites, helpers, holds, http_sd,
        image_pulls, images, join_tokens, leases, logs, machines, members, meta, oidc, passwords,
        peers, power, providers, reader, reservations, rollouts, sessions, setups, tokens, trust,
        users, webhooks,
    },
    auth::{
        Access::{Anyone, Least},
        Reach::{self, Handler},
        Role::{Admin, Operator, Viewer},
    },
    endpoints::{Routes, routes},
};

/// Every endpoint.
pub(super) fn all() -> Routes {
    Routes::new()
        .at(Anyone, routes!(meta::healthz))
        // Files without secrets, which a browser loads before it has a token to show; the document itself is for viewers.
        .at(Anyone, routes!(reader::page))
        .at(Anyone, routes!(reader::style))
        .at(Anyone, routes!(reader::script))
        .at(Least(Viewer), routes!(meta::metrics))
        .nest("/api/v1", v1())
}

fn v1() -> Routes {
    receivers(people(sites(disks(machines(Routes::new())))))
        .within(Reach::Caller, Least(Viewer), routes!(meta::openapi))
        .at(Least(Viewer), routes!(join_tokens::list))
        .at(Least(Viewer), routes!(join_tokens::show))
        // Who has a token can make a machine ours.
        .at(Least(Operator), routes!(join_tokens::create))
        .at(Least(Operator), routes!(join_tokens::delete))
        .at(Least(Viewer), routes!(boot_configs::list))
        // Answer files and command lines may hold passwords or their hashes: not for viewers.
        .at(
            Least(Operator),
            routes!(boot_configs::show, boot_configs::set, boot_configs::delete),
        )
        .at(Least(Operator), routes!(boot_configs::preview))
        .at(Least(Operator), routes!(boot_configs::fetch))
        .within(Handler, Least(Operator), routes!(boot_configs::activate))
        .within(
            Handler,
            Least(Operator),
            routes!(boot_configs::activate_selector),
        )
        .within(Handler, Least(Operator), routes!(activations::deactivate))
        .within(
            Handler,
            Least(Operator),
            routes!(activations::deactivate_selector),
        )
        .within(Handler, Least(Viewer), routes!(activations::list))
        .within(Handler, Least(Viewer), routes!(activations::show))
        .at(Least(Viewer), routes!(files::list))
        .at(Least(Viewer), routes!(files::show))
        .at(Least(Operator), routes!(files::upload, files::delete))
        .at(Least(Viewer), routes!(leases::list))
        .at(Least(Viewer), routes!(reservations::list))
        .at(Least(Viewer), routes!(reservations::show))
        .at(
            Least(Operator),
            routes!(reservations::set, reservations::delete),
        )
        .within(Handler, Least(Viewer), routes!(events::list))
        .within(Handler, Least(Viewer), routes!(events::stream))
        .at(Least(Viewer), routes!(explain::explain))
        // What anybody sees who opens a connection.
        .at(Least(Viewer), routes!(certificates::list))
        // Every secret that there is.
        .at(Least(Admin), routes!(database::copy))
        // A wrong clock that is confirmed makes certificates that no host takes.
        .at(Least(Admin), routes!(clock::confirm))
}

/// Machines, their agents, and what they are asked to do.
fn machines(routes: Routes) -> Routes {
    routes
        .within(Handler, Least(Viewer), routes!(machines::list))
        .at(Least(Operator), routes!(machines::register))
        .within(Reach::Machine, Least(Viewer), routes!(machines::show))
        .within(
            Reach::Machine,
            Least(Operator),
            routes!(machines::update::update, machines::delete),
        )
        .within(Reach::Machine, Least(Operator), routes!(machines::inspect))
        // A helper answers for its whole segment.
        .at(Least(Operator), routes!(helpers::set))
        .within(Reach::Machine, Least(Operator), routes!(holds::reserve))
        .within(Reach::Machine, Least(Operator), routes!(holds::release))
        .within(Reach::Machine, Least(Viewer), routes!(power::show))
        // Its address may be another machine's.
        .at(Least(Operator), routes!(power::set))
        .within(Reach::Machine, Least(Operator), routes!(power::switch))
        .within(Reach::Machine, Least(Operator), routes!(trust::accept))
        .within(Reach::Machine, Least(Operator), routes!(trust::refuse))
        .within(Reach::Machine, Least(Operator), routes!(trust::resolve))
        .within(Reach::Machine, Least(Operator), routes!(trust::revoke))
        .within(Reach::Machine, Least(Viewer), routes!(facts::show))
        .within(Reach::Machine, Least(Viewer), routes!(boots::list))
        .within(Reach::Machine, Least(Viewer), routes!(logs::list))
        .within(Reach::Machine, Least(Viewer), routes!(logs::stream))
        .within(Reach::Machine, Least(Operator), routes!(commands::issue))
        .within(Reach::Machine, Least(Operator), routes!(commands::wake))
        .within(Handler, Least(Viewer), routes!(commands::list))
        .within(Handler, Least(Viewer), routes!(commands::show))
        .within(Handler, Least(Viewer), routes!(members::list))
        .within(Reach::Machine, Least(Viewer), routes!(members::show))
        .within(Handler, Least(Viewer), routes!(http_sd::http_sd))
}

/// Who hears of what happens, and who may do what.
fn receivers(routes: Routes) -> Routes {
    routes
        // URLs of receivers often hold a key.
        .at(Least(Operator), routes!(webhooks::list))
        // What happens here leaves the house.
        .at(Least(Admin), routes!(webhooks::create))
        .at(Least(Operator), routes!(webhooks::show))
        .at(Least(Admin), routes!(webhooks::delete))
        .at(Least(Operator), routes!(webhooks::test))
        .at(Least(Operator), routes!(webhooks::deliveries::list))
        .at(Least(Operator), routes!(webhooks::deliveries::replay))
        .at(Least(Viewer), routes!(users::list))
        .at(Least(Viewer), routes!(users::show))
        .at(Least(Admin), routes!(users::create))
        .at(Least(Admin), routes!(users::update, users::delete))
        // Who did what is not everybody's.
        .at(Least(Admin), routes!(audit::list))
}

/// What programs show in place of people. Who may not look at others' tokens sees their own.
fn people(routes: Routes) -> Routes {
    routes
        .within(Reach::Caller, Least(Viewer), routes!(users::whoami))
        .at(Least(Viewer), routes!(tokens::list))
        .at(Least(Viewer), routes!(tokens::show))
        .at(Least(Operator), routes!(tokens::create))
        .at(Least(Operator), routes!(tokens::revoke))
        // Who they are is what this asks for.
        .at(Anyone, routes!(sessions::create))
        .at(Anyone, routes!(oidc::ways))
        .at(Anyone, routes!(oidc::login))
        .at(Anyone, routes!(oidc::callback))
        .at(
            Least(Viewer),
            routes!(sessions::current, sessions::sign_out),
        )
        .at(Least(Viewer), routes!(sessions::list))
        // Of their own; those of others are the admins'.
        .at(Least(Viewer), routes!(sessions::show, sessions::revoke))
        .at(Least(Viewer), routes!(passwords::set))
        .at(Least(Admin), routes!(passwords::clear))
}

/// Other sites, and other people's agents.
fn sites(routes: Routes) -> Routes {
    routes
        .at(Least(Viewer), routes!(providers::list))
        .at(Least(Viewer), routes!(providers::show))
        .at(Least(Viewer), routes!(peers::list))
        .at(Least(Viewer), routes!(peers::show))
        .at(Least(Viewer), routes!(heard_sites::list))
        // What a site may decides what machines run, here and there.
        .at(Least(Admin), routes!(peers::invite))
        .at(Least(Admin), routes!(peers::join))
        .at(Least(Admin), routes!(peers::allow))
        .at(Least(Admin), routes!(peers::revoke))
}

/// What is written to machines' disks.
fn disks(routes: Routes) -> Routes {
    routes
        .at(Least(Viewer), routes!(images::list))
        .at(Least(Viewer), routes!(images::show))
        .at(Least(Operator), routes!(images::update, images::delete))
        .at(Least(Viewer), routes!(images::versions::list))
        .at(Least(Operator), routes!(images::content::upload))
        .at(Least(Viewer), routes!(images::versions::show))
        .at(Least(Operator), routes!(images::versions::delete))
        // Disks hold secrets, captured ones above all: not for viewers.
        .at(Least(Operator), routes!(images::content::raw))
        .at(Least(Operator), routes!(images::content::zstd))
        .at(Least(Operator), routes!(images::uploads::have))
        .at(Least(Operator), routes!(images::uploads::put))
        .at(Least(Operator), routes!(images::uploads::finish))
        .at(Least(Viewer), routes!(images::usage::show))
        .at(Least(Viewer), routes!(image_pulls::list))
        .at(Least(Viewer), routes!(image_pulls::show))
        .at(Least(Operator), routes!(image_pulls::create))
        .at(Least(Operator), routes!(image_pulls::cancel))
        .within(Handler, Least(Viewer), routes!(deployments::list))
        .within(Handler, Least(Viewer), routes!(deployments::show))
        .within(Handler, Least(Viewer), routes!(deployments::stream::stream))
        .within(
            Handler,
            Least(Operator),
            routes!(deployments::create::create),
        )
        .within(Handler, Least(Operator), routes!(deployments::cancel))
        .within(Handler, Least(Operator), routes!(deployments::move_to))
        .at(Least(Viewer), routes!(rollouts::list))
        .at(Least(Viewer), routes!(rollouts::show))
        .at(Least(Operator), routes!(rollouts::update))
        .at(Least(Operator), routes!(rollouts::pause))
        .at(Least(Operator), routes!(rollouts::resume))
        .at(Least(Operator), routes!(rollouts::cancel))
        .at(Least(Viewer), routes!(setups::list))
        .at(Least(Viewer), routes!(setups::show))
        .at(Least(Operator), routes!(setups::set, setups::delete))
}
