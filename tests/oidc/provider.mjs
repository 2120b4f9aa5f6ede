// The identity provider that a story signs in at: oidc-provider, certified by the OpenID Foundation, with its own login form.
//
//     node provider.mjs PORT REDIRECT_URI
//
// Whoever signs in there is who they say; ada is in the group boot-admins, everybody else in none.
import Provider from 'oidc-provider';

const [port, redirect] = process.argv.slice(2);
const groups = (name) => (name === 'ada' ? ['staff', 'boot-admins'] : ['staff']);

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [{ client_id: 'enforcer', client_secret: 'a secret: of 100% %n', redirect_uris: [redirect], response_types: ['code'], grant_types: ['authorization_code'] }],
  claims: { openid: ['sub'], profile: ['preferred_username', 'groups'] },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, preferred_username: id, groups: groups(id) }) }),
  features: { devInteractions: { enabled: true } },
  cookies: { keys: ['only for a test'] },
});
provider.listen(Number(port), '127.0.0.1', () => console.log('the provider listens'));
