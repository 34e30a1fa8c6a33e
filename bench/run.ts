/**
 * `npm run bench [-- <part of a row's file name>…]`: prints each figure beside a baseline measured in the same run, and
 * writes them to bench/results/latest.json. The exit code is 0 whatever the figures: machines differ, so read the
 * ratios.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { startHub } from './hub.ts'
import type { Row } from './measure.ts'
import { agentMemory } from './rows/agent-memory.ts'
import { agentTimes } from './rows/agents.ts'
import { botStart } from './rows/bots.ts'
import { boxes } from './rows/boxes.ts'
import { crowd } from './rows/crowd.ts'
import { dashboards } from './rows/dashboards.ts'
import { faultyBodies } from './rows/faulty-bodies.ts'
import { firstProcess, firstProcessBusy, hubStep } from './rows/hub-step.ts'
import { largeRun } from './rows/large-run.ts'
import { localStep } from './rows/local-step.ts'
import { logLines } from './rows/log-lines.ts'
import { maskedOutput } from './rows/masked-output.ts'
import { masking } from './rows/masking.ts'
import { idleMemory } from './rows/memory.ts'
import { memoryOverRuns } from './rows/memory-over-runs.ts'
import { noopRuns } from './rows/noop-runs.ts'
import { openRuns } from './rows/open-runs.ts'
import { outputToReader } from './rows/output.ts'
import { placement } from './rows/placement.ts'
import { provisionedOnKubernetes } from './rows/provisioned-on-kubernetes.ts'
import { provisionedRunners } from './rows/provisioned-runners.ts'
import { runList } from './rows/run-list.ts'
import { shellRun } from './rows/shell-run.ts'
import { tasks } from './rows/tasks.ts'
import { workspaces } from './rows/workspaces.ts'

const alone = {
  'local-step': localStep,
  'shell-run': shellRun,
  masking,
  placement,
  'memory-over-runs': memoryOverRuns,
  'open-runs': openRuns,
  'run-list': runList,
  'bot-start': botStart,
  'boxes-start': boxes,
  'provisioned-runners': provisionedRunners,
  'provisioned-on-kubernetes': provisionedOnKubernetes,
  workspaces,
  tasks,
}
const onHub = {
  memory: idleMemory,
  'hub-step': hubStep,
  'first-process': firstProcess,
  'first-process-busy': firstProcessBusy,
  'noop-runs': noopRuns,
  output: outputToReader,
  'log-lines': logLines,
  'large-run': largeRun,
  'masked-output': maskedOutput,
  'faulty-bodies': faultyBodies,
  crowd,
  dashboards,
  'agents-time': agentTimes,
  'agents-memory': agentMemory,
}
const names = process.argv.slice(2)
const isSelected = (name: string) => names.length === 0 || names.some((part) => name.includes(part))

const rows: Row[] = []
const show = (row: Row) => {
  rows.push(row)
  const { name, unit, value, baseline, budget, details } = row
  const ratio = baseline
    ? `${(value / baseline.value).toFixed(2)} x ${baseline.what} (${baseline.value.toFixed(2)})`
    : ''
  const more = Object.entries(details ?? {}).map(([key, figure]) => `${key} ${figure.toFixed(2)}`)
  console.log(
    `${budget.holds ? 'holds ' : 'MISSED'} ${name}: ${value.toFixed(2)} ${unit}; ${[ratio, ...more].filter(Boolean).join('; ')} [budget ${budget.what}]`,
  )
}

for (const [name, measure] of Object.entries(alone))
  if (isSelected(name)) for (const row of await measure()) show(row)
for (const [name, measure] of Object.entries(onHub)) {
  if (!isSelected(name)) continue
  const hub = await startHub()
  try {
    for (const row of await measure(hub)) show(row)
  } finally {
    await hub.stop()
  }
}

mkdirSync(new URL('results/', import.meta.url), { recursive: true })
const machine = {
  node: process.version,
  cpus: cpus().length,
  model: cpus()[0]?.model,
  time: new Date().toISOString(),
}
writeFileSync(
  new URL('results/latest.json', import.meta.url),
  `${JSON.stringify({ machine, rows }, null, 2)}\n`,
)
