/**
 * The routes of a host agent, as the workflow runner's `dispatch` knows them: beside those of a hub, whose server it
 * is not. Their requests are read in `dialects/host-agent`, which tells of a wrong one in its own words.
 */
export const hostAgentRoutes = {
  'POST /run': { who: 'dispatcher' },
  // The same: an agent that knows no secrets has it not, and would carry the step out without them.
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
