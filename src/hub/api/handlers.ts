import { agentHandlers } from './agents.ts'
import type { ApiApp, ApiContext } from './api-context.ts'
import { botDataHandlers } from './bot-data.ts'
import { botLogHandlers } from './bot-logs.ts'
import { botHandlers } from './bots.ts'
import { chatHandlers } from './chat.ts'
import { docsHandlers } from './docs.ts'
import { enrolmentHandlers } from './enrolment.ts'
import { healthHandlers } from './health.ts'
import { inputHandlers } from './inputs.ts'
import { jobHandlers } from './jobs.ts'
import { loginHandlers } from './login.ts'
import { metricsHandlers } from './metrics.ts'
import type { Handlers } from './routes.ts'
import { runActionHandlers } from './run-actions.ts'
import { runEventHandlers } from './run-events.ts'
import { runOutputHandlers } from './run-output.ts'
import { runStatusHandlers } from './run-status.ts'
import { runnerHandlers } from './runners.ts'
import { runHandlers } from './runs.ts'
import { secretHandlers } from './secrets.ts'
import { tokenHandlers } from './tokens.ts'
import { uploadHandlers } from './uploads.ts'
import { userHandlers } from './users.ts'
import { validateHandlers } from './validate.ts'

/** One for each route: the compiler knows of one that is missing, or that is none of the table. */
export function handlersOf(app: ApiApp, context: ApiContext): Handlers {
  return {
    ...runHandlers(context),
    ...runActionHandlers(context),
    ...inputHandlers(context),
    ...chatHandlers(context, app),
    ...runEventHandlers(context),
    ...runOutputHandlers(context),
    ...runStatusHandlers(context),
    ...validateHandlers(context),
    ...botHandlers(context),
    ...botLogHandlers(context),
    ...botDataHandlers(context),
    ...uploadHandlers(context),
    ...jobHandlers(context),
    ...runnerHandlers(context),
    ...enrolmentHandlers(context),
    ...secretHandlers(context),
    ...loginHandlers(context),
    ...tokenHandlers(context),
    ...userHandlers(context),
    ...healthHandlers(context),
    ...metricsHandlers(context),
    ...agentHandlers(context),
    ...docsHandlers(context, app),
  }
}
