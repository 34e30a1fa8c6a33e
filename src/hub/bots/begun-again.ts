import { botOf } from '../../blueprints/bot.ts'
import { withPulledImage } from '../../blueprints/pulled-image.ts'
import { SOURCE_PASSWORD } from '../../blueprints/registry-password.ts'
import type { BotServeArgs } from '../../contract/bot.ts'
import type { RunRecord } from '../../contract/run.ts'
import type { Workflow } from '../../contract/workflow.ts'
import type { EngineFace } from '../../engine/face.ts'
import type { Secrets } from '../secrets/secrets.ts'
import { pulledBy } from './pulled-by.ts'

/** A run as it is to be begun again, with the secrets that it has. */
export interface BegunAgain {
  run: RunRecord & { workflow: Workflow }
  secrets: Record<string, string>
}

/** A password that the run keeps serves one pull or fetch: after that the image is taken where it is. */
export async function begunAgain(
  record: RunRecord,
  { engine, secrets }: { engine: Pick<EngineFace, 'view'>; secrets: Secrets },
): Promise<BegunAgain> {
  const run = { ...record, workflow: withoutRefresh(record.workflow as Workflow) }
  // Before the run is looked at: the password goes once that has told that the image is there.
  const values = await secrets.ofRun(run)
  if (!botOf(run.workflow).secrets.includes(SOURCE_PASSWORD)) return { run, secrets: values }
  const by = pulledBy(await engine.view(run.run_id))
  if (by === undefined) return { run, secrets: values }
  const { [SOURCE_PASSWORD]: _, ...variables } = values
  return { run: { ...run, workflow: withPulledImage(run.workflow, by) }, secrets: variables }
}

/** Returns the workflow without `refresh`, which was for that one start. */
function withoutRefresh(workflow: Workflow): Workflow {
  const { refresh: _, ...args } = workflow.steps[0]!.args as BotServeArgs
  return { ...workflow, steps: [{ ...workflow.steps[0]!, args }] }
}
