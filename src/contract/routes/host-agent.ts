/**
 * The routes of a host agent, as the workflow runner's `dispatch` knows them; they are served apart from a hub's.
 * `dialects/host-agent` reads their requests, and reports a wrong one in its own words.
 */
export const hostAgentRoutes = {
  'POST /run': { who: 'dispatcher' },
  // Works as `/run`. An agent that does not know secrets lacks this route, so that it cannot run the step without them.
  'POST /run-with-secrets': { who: 'dispatcher' },
  'GET /status': { who: 'dispatcher' },
  'POST /status': { who: 'dispatcher' },
  'POST /cancel': { who: 'dispatcher' },
  'GET /tasks': { who: 'dispatcher' },
  'GET /run-status': { who: 'dispatcher' },
  'GET /heartbeat': { who: 'dispatcher' },
  'POST /heartbeat': { who: 'dispatcher' },
  'GET /health': { who: 'anyone' },
} as const satisfies Record<`${string} /${string}`, { who: 'anyone' | 'dispatcher' }>

export type HostAgentRoute = keyof typeof hostAgentRoutes
