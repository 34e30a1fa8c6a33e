import type { ApiContext } from './api-context.ts'
import type { Handlers } from './routes.ts'

export function healthHandlers({ version, engine }: ApiContext) {
  const startedMs = performance.now()
  return {
    'GET /health': () => ({
      status: 'ok' as const,
      ok: true as const,
      version,
      uptime_seconds: Math.round(performance.now() - startedMs) / 1000,
      taking_up: engine.takingUp(),
    }),
  } satisfies Partial<Handlers>
}
