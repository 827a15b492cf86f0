// A certified OpenID provider on a loopback port. The first line of stdin is what the test wants of it:
//
//   port            where to listen; 0: any free port
//   keys            private JWKs; the first one that fits signs, all are published
//   clients         client metadata (RFC 7591)
//   resources       by identifier (RFC 8707): scope, accessTokenFormat "jwt" or "opaque"
//   lifetimes_s     of the access tokens of people, one a grant; the last one stands for all that follow
//
// One line on stdout says {"issuer": …}. GET /counted says how often what was asked. The process ends with its stdin, so
// that it never outlives its test.
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

import Provider from 'oidc-provider';

import { STRONG, USUAL, interact } from './pages.js';

// Its advice for production is nothing to a test, which reads one line of stdout and no more.
console.info = console.warn = () => {};

const input = createInterface({ input: process.stdin });
input.on('close', () => process.exit());
const wanted = JSON.parse(await new Promise((resolve) => input.once('line', resolve)));

const counted = {};
const count = (what) => { counted[what] = (counted[what] ?? 0) + 1; };

const lifetimes = [...wanted.lifetimes_s];
const nextLifetime = () => (lifetimes.length > 1 ? lifetimes.shift() : lifetimes[0]);

const resourceServer = (identifier) => {
  const known = wanted.resources[identifier];
  if (!known) throw new Error(`no resource ${identifier}`);
  const signed = known.accessTokenFormat === 'jwt' ? { jwt: { sign: { alg: 'ES256' } } } : {};
  return { audience: identifier, ...known, ...signed };
};

// What an access token says of the log-in that it came from (RFC 9470 6).
const loginOf = (ctx) => {
  const code = ctx.oidc.entities.AuthorizationCode;
  return code && { acr: code.acr, auth_time: code.authTime };
};

const configuration = {
  acrValues: [USUAL, STRONG],
  jwks: { keys: wanted.keys },
  clients: wanted.clients,
  features: {
    backchannelLogout: { enabled: true },
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    dPoP: { enabled: true },
    introspection: { enabled: true, allowedPolicy: () => true },
    pushedAuthorizationRequests: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (ctx, identifier) => resourceServer(identifier),
      useGrantedResource: () => true,
    },
    revocation: { enabled: true, allowedPolicy: () => true },
    rpInitiatedLogout: { enabled: true },
  },
  extraTokenClaims: loginOf,
  // Both sides are on this machine, which the provider's own client refuses to talk to.
  fetch: (url, { dispatcher, ...options }) => fetch(url, options),
  pkce: { required: () => true },
  rotateRefreshToken: true,
  ttl: { AccessToken: nextLifetime, ClientCredentials: 3600 },
};

const server = createServer();
server.listen(wanted.port, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, configuration);
  provider.on('grant.success', (ctx) => count(`granted ${ctx.oidc.params.grant_type}`));
  provider.on('grant.error', (ctx, error) => {
    count(`not granted ${ctx.oidc.params?.grant_type}`);
    console.error(error.message, error.error_detail ?? '');
  });
  provider.on('backchannel.success', () => count('logout tokens taken'));
  provider.on('backchannel.error', (ctx, error) => {
    count('logout tokens refused');
    console.error(error.message, error.error_detail ?? '');
  });
  provider.on('server_error', (ctx, error) => console.error(error));
  const answer = provider.callback();
  server.on('request', (request, response) => {
    if (request.url === '/counted') {
      response.setHeader('content-type', 'application/json').end(JSON.stringify(counted));
      return;
    }
    count(`${request.method} ${request.url.split('?')[0]}`);
    if (request.url.startsWith('/interaction/')) {
      interact(provider, request, response).catch((error) => {
        console.error(error);
        response.writeHead(500).end();
      });
      return;
    }
    answer(request, response);
  });
  process.stdout.write(`${JSON.stringify({ issuer })}\n`);
});
