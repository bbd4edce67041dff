// An identity provider for tests, on npm `oidc-provider`: it shares no code with what signs in.
//
//   node provider.js '{"port": 4000, "base": "http://127.0.0.1:8080", "accounts": {...}, ...}'
//
// `accounts` maps what is typed as the login to that person's claims; any password will do.
// Commands come as lines of JSON on standard input ({"do": "rotate"}: new keys from now on; the old
// ones are gone), events go out as lines of JSON on standard output.

import crypto from 'node:crypto';
import http from 'node:http';
import readline from 'node:readline';
import Provider from 'oidc-provider';

const how = {
  alg: 'RS256',
  auth: 'client_secret_basic', // client_secret_post, none
  inIdToken: true, // claims of the scopes stand in the ID token, else only in userinfo
  consent: true, // people are asked
  backchannel: false,
  ...JSON.parse(process.argv[2]),
};
const issuer = `http://127.0.0.1:${how.port}`;
const say = (event) => process.stdout.write(JSON.stringify(event) + '\n');
const KINDS = {
  RS256: ['rsa', { modulusLength: 2048 }],
  PS256: ['rsa', { modulusLength: 2048 }],
  ES256: ['ec', { namedCurve: 'P-256' }],
  EdDSA: ['ed25519', {}],
};
let number = 0;

function newKey() {
  const { privateKey } = crypto.generateKeyPairSync(...KINDS[how.alg]);
  number += 1;
  return { ...privateKey.export({ format: 'jwk' }), kid: `k${number}`, use: 'sig', alg: how.alg };
}

function made() {
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: 'contact-router',
        ...(how.auth === 'none' ? {} : { client_secret: how.secret }),
        token_endpoint_auth_method: how.auth,
        redirect_uris: [`${how.base}/v1/oidc/callback`],
        post_logout_redirect_uris: [`${how.base}/desk`, `${how.base}/wallboard`],
        id_token_signed_response_alg: how.alg,
        ...(how.backchannel
          ? {
              backchannel_logout_uri: `${how.base}/v1/oidc/logout`,
              backchannel_logout_session_required: true,
            }
          : {}),
      },
    ],
    clientAuthMethods: [how.auth],
    jwks: { keys: [newKey()] },
    enabledJWA: { idTokenSigningAlgValues: [how.alg] },
    conformIdTokenClaims: !how.inIdToken,
    claims: { openid: ['sub'], profile: ['preferred_username', 'name', 'groups'] },
    features: {
      devInteractions: { enabled: true },
      backchannelLogout: { enabled: how.backchannel },
      rpInitiatedLogout: { enabled: true },
    },
    pkce: { required: () => true },
    // Its own refuses every address of this machine, which is where our server is.
    fetch: (url, options) => globalThis.fetch(url, { ...options, dispatcher: undefined }),
    cookies: { keys: ['for-tests'] },
    async findAccount(_ctx, id) {
      return how.accounts[id] && { accountId: id, claims: async () => ({ sub: id, ...how.accounts[id] }) };
    },
    ...(how.consent
      ? {}
      : {
          async loadExistingGrant(ctx) {
            const grant = new ctx.oidc.provider.Grant({
              clientId: ctx.oidc.client.clientId,
              accountId: ctx.oidc.session.accountId,
            });
            grant.addOIDCScope('openid profile');
            await grant.save();
            return grant;
          },
        }),
  });
  // Its pages ask for a font from elsewhere.
  provider.use(async (ctx, next) => {
    await next();
    if (typeof ctx.body === 'string') ctx.body = ctx.body.replace(/@import url\([^)]*\);?/g, '');
  });
  for (const name of ['server_error', 'grant.error', 'authorization.error']) {
    provider.on(name, (_ctx, error) => say({ event: name, error: String(error && (error.error_description || error.message)) }));
  }
  provider.on('grant.success', () => say({ event: 'grant.success' }));
  provider.on('backchannel.success', (_ctx, _client, account) => say({ event: 'backchannel', account }));
  provider.on('backchannel.error', (_ctx, error) => say({ event: 'backchannel', error: String(error.cause || error) }));
  return provider.callback();
}

let answer = made();
http
  .createServer((request, response) => answer(request, response))
  .listen(how.port, '127.0.0.1', () => say({ event: 'ready' }));

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const { do: what, ...more } = JSON.parse(line);
  if (what === 'rotate') answer = made();
  if (what === 'accounts') Object.assign(how.accounts, more.accounts);
  say({ event: 'done', what });
});
