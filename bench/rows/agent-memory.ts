import { randomUUID } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { installedAgent, subjectNamed } from '../../test/support/agent-subjects.ts'
import { startModelServer } from '../../test/support/model-server/server.ts'
import { agentThroughHub } from '../agent-runs.ts'
import { type BenchHub, residentMb } from '../hub.ts'
import type { Row } from '../measure.ts'

const RUNS = 5
/** Matches the processes beside an agent's own: the shell that stores its exit code, and the feeder of its input. */
const OURS = /^(\/bin\/)?(sh|dash|bash|tail|busybox)$/

/** Measures the memory that a running agent takes beside the agent's own processes. */
export async function agentMemory(hub: BenchHub): Promise<Row[]> {
  const rows: Row[] = []
  for (const name of ['claude_code', 'codex', 'copilot']) {
    const subject = subjectNamed(name)
    const found = await installedAgent(name)
    if ('missing' in found) {
      console.log(`left out ${name}: ${found.missing}`)
      continue
    }
    const key = randomUUID()
    const server = await startModelServer({
      scriptFor: (requested) =>
        requested === key ? () => ({ text: 'It goes on and on.', hang: true }) : undefined,
    })
    const ids: string[] = []
    try {
      // The very first run loads what every run needs.
      await agentThroughHub(hub, subject, { url: server.url })
      const runnerBefore = await residentMb(hub.runnerPid)
      const hubBefore = await residentMb(hub.hubPid)
      for (let run = 0; run < RUNS; run++) {
        const agent = {
          agent: name,
          model: subject.model,
          prompt: 'Go on.',
          isolation: 'none' as const,
          env: subject.env(server.url, key),
        }
        ids.push((await hub.client.runs.create({ agent })).run_id)
      }
      await Promise.all(ids.map((id) => untilItSpeaks(hub, id)))
      const runner = ((await residentMb(hub.runnerPid)) - runnerBefore) / RUNS
      const beside = (await besideThePrograms(hub.runnerPid)) / RUNS
      const inHub = ((await residentMb(hub.hubPid)) - hubBefore) / RUNS
      const value = Math.max(0, runner) + beside
      rows.push({
        name: `${name}, memory of a run beside its program's own`,
        unit: 'MB',
        value,
        budget: { what: '<= 20 MB', holds: value <= 20 },
        details: { 'of the runner': runner, 'beside the program': beside, 'of the hub': inHub },
      })
    } finally {
      for (const id of ids) await hub.client.runs.cancel(id, { force: true })
      for (const id of ids) for await (const _ of hub.client.events(id));
      await server.stop()
    }
  }
  return rows
}

async function untilItSpeaks({ client }: BenchHub, runId: string): Promise<void> {
  for await (const event of client.events(runId)) {
    if (event.type === 'agent.update' && event.update.kind === 'message') return
    if (event.type === 'run.finished') throw new Error(`Run ${runId} has ended: ${JSON.stringify(event)}`)
  }
}

/** Returns the resident memory, in MB, of the shells and tails among the runner's descendants. */
async function besideThePrograms(runnerPid: number): Promise<number> {
  const parents = new Map<number, number>()
  for (const name of await readdir('/proc')) {
    const stat = /^\d+$/.test(name) && (await readFile(`/proc/${name}/stat`, 'latin1').catch(() => ''))
    if (stat) parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]))
  }
  let megabytes = 0
  for (const pid of parents.keys()) {
    const parent = parents.get(pid)!
    const ours = parent === runnerPid || parents.get(parent) === runnerPid
    const [program = ''] = (await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '')).split('\0')
    if (ours && OURS.test(program)) megabytes += await residentMb(pid)
  }
  return megabytes
}
