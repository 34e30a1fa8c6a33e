import * as z from 'zod'
import { AgentsHealth } from '../agent-api.ts'
import { HubFacts, ServicesHealth } from '../hub-api.ts'
import { Health } from '../run-api.ts'
import { content, routeTable } from './route.ts'

const tag = 'hub'

export const hubRoutes = routeTable({
  'GET /health': { who: 'anyone', tag, summary: 'Is it up', anyHost: true, answers: { 200: Health } },
  'GET /api/hub': {
    who: 'admin',
    tag,
    summary:
      'Of the hub as a whole: size of its data, how long runs are kept, tenants (admin of the first tenant)',
    answers: { 200: HubFacts },
  },
  'GET /metrics': {
    who: 'metrics',
    tag,
    summary: 'Figures of the hub, as Prometheus reads them: for an admin, or a token of the scope `metrics`',
    answers: { 200: content('Text format 0.0.4', 'text/plain') },
  },
  'GET /health/agents': {
    who: 'anyone',
    tag,
    summary: 'Which agents are installed and usable on the connected runners; with a token, on which',
    answers: { 200: AgentsHealth },
  },
  'GET /health/services': {
    who: 'admin',
    tag,
    summary:
      'Which outside services (forges, mail, places, task registry, Kubernetes, Docker) fail now, and since when: those that users of the tenant have named, for an admin of the first tenant those of the operator too',
    answers: { 200: ServicesHealth },
  },
  'GET /api/openapi.json': {
    who: 'anyone',
    summary: 'The description of this API',
    anyHost: true,
    answers: { 200: z.unknown() },
  },
  'GET /': {
    who: 'anyone',
    summary: 'The dashboard; where the hub has none, the way to the documentation',
    anyHost: true,
    answers: { 200: content('The page', 'text/html'), 302: content('The way', 'text/html') },
  },
  'GET /assets/:name': {
    who: 'anyone',
    summary: 'What the dashboard loads',
    anyHost: true,
    params: z.object({ name: z.string() }),
    answers: { 200: content('The file', '*/*') },
  },
  'GET /docs': {
    who: 'anyone',
    summary: 'The documentation, as a page',
    anyHost: true,
    answers: { 200: content('The page', 'text/html') },
  },
  'GET /docs/*': {
    who: 'anyone',
    summary: 'What the page loads',
    anyHost: true,
    answers: { 200: content('The file', '*/*') },
  },
})
