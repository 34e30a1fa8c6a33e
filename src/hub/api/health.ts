import { Health } from '../../contract/health-api.ts'
import type { ApiApp, ApiContext } from './api-context.ts'

export function healthRoutes(app: ApiApp, { version, engine }: ApiContext): void {
  const startedMs = performance.now()
  app.get(
    '/health',
    {
      config: { public: true, anyHost: true },
      schema: { tags: ['hub'], summary: 'Is it up', security: [], response: { 200: Health } },
    },
    () => ({
      status: 'ok' as const,
      ok: true as const,
      version,
      uptime_seconds: Math.round(performance.now() - startedMs) / 1000,
      taking_up: engine.takingUp(),
    }),
  )
}
