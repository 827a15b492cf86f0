// The provider's pages. Its own, for development, know one way to log in; here a password is the usual one, and a second
// factor beside it is the stronger one that a step-up asks for (RFC 9470).
import { text } from 'node:stream/consumers';

export const USUAL = 'urn:peer:acr:password';
export const STRONG = 'urn:peer:acr:second-factor';

// Says what is asked of the person; whoever fills in the form knows its fields.
const page = (prompt, strength = '') => `<!DOCTYPE html>
<title>${prompt}</title>
<main><h1>${prompt}</h1><p>${strength}</p><form method="post"><button>Go on</button></form></main>
`;

const loggedIn = (fields) => ({
  login: { accountId: fields.get('login'), acr: fields.get('second_factor') ? STRONG : USUAL },
});

// Everything that is asked for is granted.
const consented = async (provider, { grantId, params, prompt: { details }, session }) => {
  const grant = grantId
    ? await provider.Grant.find(grantId)
    : new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  if (details.missingOIDCScope) grant.addOIDCScope(details.missingOIDCScope.join(' '));
  if (details.missingOIDCClaims) grant.addOIDCClaims(details.missingOIDCClaims);
  for (const [resource, scopes] of Object.entries(details.missingResourceScopes ?? {})) {
    grant.addResourceScope(resource, scopes.join(' '));
  }
  return { consent: { grantId: await grant.save() } };
};

// Answers a request to /interaction/{uid}.
export const interact = async (provider, request, response) => {
  const interaction = await provider.interactionDetails(request, response);
  const { params, prompt: { name } } = interaction;
  if (request.method !== 'POST') {
    response.setHeader('content-type', 'text/html; charset=utf-8').end(page(name, params.acr_values));
    return;
  }
  const fields = new URLSearchParams(await text(request));
  const result = name === 'login' ? loggedIn(fields) : await consented(provider, interaction);
  // A consent adds to the log-in before it.
  const mergeWithLastSubmission = name !== 'login';
  await provider.interactionFinished(request, response, result, { mergeWithLastSubmission });
};
