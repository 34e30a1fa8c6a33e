import { agentRoutes } from './agents.ts'
import type { ApiApp, ApiContext } from './api-context.ts'
import { botDataRoutes } from './bot-data.ts'
import { botLogRoutes } from './bot-logs.ts'
import { botRoutes } from './bots.ts'
import { chatRoutes } from './chat.ts'
import { enrolmentRoutes } from './enrolment.ts'
import { healthRoutes } from './health.ts'
import { inputRoutes } from './inputs.ts'
import { jobRoutes } from './jobs.ts'
import { loginRoutes } from './login.ts'
import { metricsRoutes } from './metrics.ts'
import { runActionRoutes } from './run-actions.ts'
import { runEventRoutes } from './run-events.ts'
import { runOutputRoutes } from './run-output.ts'
import { runStatusRoutes } from './run-status.ts'
import { runnerRoutes } from './runners.ts'
import { runRoutes } from './runs.ts'
import { secretRoutes } from './secrets.ts'
import { tokenRoutes } from './tokens.ts'
import { uploadRoutes } from './uploads.ts'
import { userRoutes } from './users.ts'
import { validateRoutes } from './validate.ts'

/** Every resource, in the order in which the documentation shows them. */
export function resourceRoutes(app: ApiApp, context: ApiContext): void {
  for (const routes of [
    runRoutes,
    runActionRoutes,
    inputRoutes,
    chatRoutes,
    runEventRoutes,
    runOutputRoutes,
    runStatusRoutes,
    validateRoutes,
    botRoutes,
    botLogRoutes,
    botDataRoutes,
    uploadRoutes,
    jobRoutes,
    runnerRoutes,
    enrolmentRoutes,
    secretRoutes,
    loginRoutes,
    tokenRoutes,
    userRoutes,
    healthRoutes,
    metricsRoutes,
    agentRoutes,
  ])
    routes(app, context)
}
