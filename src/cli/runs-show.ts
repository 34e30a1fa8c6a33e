import type { RunView } from '../contract/run.ts'
import { isFinalRun } from '../contract/status.ts'
import { command } from './command.ts'
import { connect } from './connection.ts'
import { hubOptions } from './hub-options.ts'
import { jsonOption, printJson, printTable } from './print.ts'
import { instanceName } from './render/instance-name.ts'
import { takenSecretsText } from './render/secrets.ts'
import { between, whyText } from './render/summary.ts'
import { lineText } from './render/terminal-text.ts'
import { durationText } from './render/units.ts'
import { holdersText, usageCells } from './render/usage.ts'

export const runsShow = command({
  summary: 'Show a run and its steps.',
  args: '<id>',
  options: { ...hubOptions, ...jsonOption },
  examples: ['errand runs show run_0123'],
  async run({ json, ...hub }, [id]) {
    const run = await connect(hub).runs.get(id!)
    if (json) {
      printJson(run)
      return 0
    }
    const rows = run.steps.flatMap((step) => {
      const name = step.phase === 'main' ? step.step : `${step.step} (${step.phase})`
      if (step.instances.length === 0) {
        return [
          [
            name,
            '',
            step.status,
            between(step.started_at, step.finished_at),
            '',
            '',
            step.approval?.message ?? whyText(step),
          ],
        ]
      }
      return step.instances.map((one) => {
        const asked = one.status === 'waiting' ? step.approval?.message : undefined
        const took = one.duration_ms === undefined ? '' : durationText(one.duration_ms)
        return [
          name,
          instanceName(one.host, one.vars),
          one.status,
          took,
          ...usageCells(one.attempts),
          one.waiting ?? asked ?? whyText({ ...one, exitCode: one.exit_code }),
        ]
      })
    })
    const took = between(run.started_at, run.finished_at)
    const head = [run.run_id, run.workflow_name, run.status, took, run.waiting ?? whyText(run)]
    const line = head.filter((text) => text !== '').join('  ')
    process.stdout.write(`${lineText(line)}\n${rollbackText(run)}\n`)
    printTable(['STEP', 'HOST', 'STATUS', 'TIME', 'MEMORY', 'CPU', 'WHY'], rows, 'No step has begun.')
    const attempts = run.steps.flatMap(({ instances }) => instances.flatMap((one) => one.attempts))
    process.stdout.write(holdersText(attempts) + takenSecretsText(run.steps))
    return 0
  },
})

/** Whether the run is undone, with the run that says so. */
function rollbackText({ rollback }: Pick<RunView, 'rollback'>): string {
  if (rollback === undefined) return ''
  const { status } = rollback
  const run_id = lineText(rollback.run_id)
  if (status === 'success') return `rolled back by ${run_id}\n`
  return isFinalRun(status) ? `its rollback ${run_id} ended ${status}\n` : `being rolled back by ${run_id}\n`
}
