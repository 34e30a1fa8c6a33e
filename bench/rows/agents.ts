import { agentSubjects, installedAgent } from '../../test/support/agent-subjects.ts'
import { startModelServer } from '../../test/support/model-server/server.ts'
import { type AgentTimes, agentThroughHub, bareAgent } from '../agent-runs.ts'
import type { BenchHub } from '../hub.ts'
import { median, type Row } from '../measure.ts'

const ROUNDS = 15

/** Times a run of each installed agent, beside its program driven with plain pipes. */
export async function agentTimes(hub: BenchHub): Promise<Row[]> {
  // The shortest possible turn, so that the overhead of a run weighs most.
  const server = await startModelServer({ script: () => ({ text: 'The answer is forty-two.' }) })
  const rows: Row[] = []
  try {
    for (const subject of agentSubjects) {
      const found = await installedAgent(subject.name)
      if ('missing' in found) {
        console.log(`left out ${subject.name}: ${found.missing}`)
        continue
      }
      const bare: AgentTimes[] = []
      const runs: AgentTimes[] = []
      for (let round = 0; round <= ROUNDS; round++) {
        const takeBare = async () =>
          bare.push(await bareAgent(found.agent, found.program, subject, server.url))
        const takeRun = async () => runs.push(await agentThroughHub(hub, subject, { url: server.url }))
        // By turns first, so that neither always finds the machine as the other left it.
        for (const take of round % 2 === 0 ? [takeBare, takeRun] : [takeRun, takeBare]) await take()
      }
      // The first round fills caches of the machine.
      const row = (name: string, time: keyof AgentTimes): Row => {
        const of = (all: AgentTimes[]) => median(all.slice(1).map((each) => each[time]))
        const [value, baseline] = [of(runs), of(bare)]
        return {
          name: `${subject.name}, ${name}`,
          unit: 'ms',
          value,
          baseline: { what: 'its program, bare', value: baseline },
          budget: { what: '<= 1.1 x', holds: value / baseline <= 1.1 },
          details: { 'ms more': value - baseline },
        }
      }
      rows.push(row('to its first event', 'firstMs'), row('to the end of the run', 'endMs'))
    }
  } finally {
    await server.stop()
  }
  return rows
}
