import * as z from 'zod'
import { AgentsHealth } from '../agent-api.ts'
import { HubFacts, ServicesHealth } from '../hub-api.ts'
import { Health } from '../run-api.ts'
import { content, routeTable } from './route.ts'

const tag = 'hub'

export const hubRoutes = routeTable({
  'GET /health': {
    who: 'anyone',
    tag,
    summary: 'Whether the hub is up',
    anyHost: true,
    answers: { 200: Health },
  },
  'GET /api/hub': {
    who: 'admin',
    tag,
    summary:
      'The hub as a whole: size of its data, how long it keeps runs, tenants (admin of the first tenant)',
    answers: { 200: HubFacts },
  },
  'GET /metrics': {
    who: 'metrics',
    tag,
    summary: 'Metrics of the hub in the Prometheus format, for an admin or a token with the scope `metrics`',
    answers: { 200: content('Text format 0.0.4', 'text/plain') },
  },
  'GET /health/agents': {
    who: 'anyone',
    tag,
    summary:
      'Agents that are installed and usable on the connected runners; with a token, also on which runners',
    answers: { 200: AgentsHealth },
  },
  'GET /health/services': {
    who: 'admin',
    tag,
    summary:
      'External services (forges, mail, notification channels, task registry, Kubernetes, Docker) that fail now, and since when: those that users of the tenant have configured; for an admin of the first tenant, also those of the operator',
    answers: { 200: ServicesHealth },
  },
  'GET /api/openapi.json': {
    who: 'anyone',
    summary: 'The OpenAPI document of this API',
    anyHost: true,
    answers: { 200: z.unknown() },
  },
  'GET /': {
    who: 'anyone',
    summary: 'The dashboard; if the hub has none, a redirect to the documentation',
    anyHost: true,
    answers: { 200: content('The page', 'text/html'), 302: content('A redirect', 'text/html') },
  },
  'GET /assets/:name': {
    who: 'anyone',
    summary: 'Files of the dashboard',
    anyHost: true,
    params: z.object({ name: z.string() }),
    answers: { 200: content('The file', '*/*') },
  },
  'GET /docs': {
    who: 'anyone',
    summary: 'The API documentation as a page',
    anyHost: true,
    answers: { 200: content('The page', 'text/html') },
  },
  'GET /docs/*': {
    who: 'anyone',
    summary: 'Files of the documentation page',
    anyHost: true,
    answers: { 200: content('The file', '*/*') },
  },
})
