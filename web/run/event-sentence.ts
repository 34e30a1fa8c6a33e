import type { AgentUpdate, AgentUpdateOf } from '../../src/contract/agent.ts'
import type { EventOf, EventType, RunEvent } from '../../src/contract/events.ts'
import { duration } from '../data/clock.ts'
import { reasonWords, wordsOf } from '../data/page-words.ts'

/** Maximum number of characters that a sentence quotes from a text. */
const MOST_QUOTED = 200

function quoted(text: string): string {
  const line = text
    .slice(0, 2 * MOST_QUOTED)
    .replaceAll(/\s+/g, ' ')
    .trim()
  return `“${line.length > MOST_QUOTED ? `${line.slice(0, MOST_QUOTED)}…` : line}”`
}
const by = (who: string | undefined): string => (who === undefined ? '' : ` by ${who}`)
const because = (reason: string | undefined, exitCode?: number): string =>
  reason === undefined ? '' : `: ${reasonWords(reason, exitCode)}`
const colon = (text: string | undefined): string => (text ? `: ${text}` : '')
const count = (n: number, one: string, many = `${one}s`): string =>
  `${n.toLocaleString('en')} ${n === 1 ? one : many}`
const hostPort = (to: string, port: number | undefined): string => (port === undefined ? to : `${to}:${port}`)

/** Verbs for the ways in which something ends: `succeeded`, `failed`, `was canceled`. */
const ENDS: Readonly<Record<string, string>> = {
  success: 'succeeded',
  failed: 'failed',
  canceled: 'was canceled',
  interrupted: 'was interrupted',
  skipped: 'was skipped',
}
const ended = (status: string): string => ENDS[status] ?? `is ${wordsOf(status)}`

const INPUTS: Readonly<Record<EventOf<'input.given'>['input']['type'], string>> = {
  prompt: 'A prompt',
  queue: 'A change to the prompt queue',
  model: 'A model change',
  permission: "An answer to the agent's question",
  cancel_turn: 'A request to end the turn',
  close: 'A request to end the session',
}

/** Words for whatever decided about a permission, other than a person. */
const DECIDED: Readonly<Record<Exclude<AgentUpdateOf<'permission_answered'>['by'], 'person'>, string>> = {
  rule: ' by a rule',
  policy: ' by a policy',
  timeout: ', because nobody answered in time',
  canceled: ', because the turn was canceled',
  nobody: ', because nobody could be asked',
}

const updates: { [K in AgentUpdate['kind']]: (update: AgentUpdateOf<K>) => string } = {
  session: ({ agent, model, origin }) =>
    `${agent} ${origin === 'new' ? 'started a session' : 'continued its session'}${model ? ` with ${model}` : ''}.`,
  prompt: ({ text }) => `The agent received a prompt: ${quoted(text)}`,
  model: ({ model, refused, who }) =>
    refused === undefined
      ? `The model was changed to ${model}${by(who)}.`
      : `The agent refused the model ${model}: ${refused}`,
  queue: ({ change, done, who }) =>
    done
      ? `A queued prompt was ${{ edit: 'edited', withdraw: 'withdrawn', up: 'moved up' }[change]}${by(who)}.`
      : 'A queued prompt could not be changed: the agent already had it.',
  message: ({ text }) => `The agent wrote: ${quoted(text)}`,
  thought: ({ text }) => `The agent thought: ${quoted(text)}`,
  tool: ({ title, status }) =>
    `The agent used a tool${title ? `: ${quoted(title)}` : ''}${status ? ` (${wordsOf(status)})` : ''}.`,
  plan: ({ entries }) =>
    `The agent's plan has ${count(entries.length, 'entry', 'entries')}, ${entries.filter(({ status }) => status === 'completed').length} done.`,
  usage: () => 'The agent reported its usage.',
  permission: ({ title }) => `The agent asked for permission: ${quoted(title)}`,
  permission_answered: ({ decision, by: kind, who }) =>
    `The permission was ${decision === 'allow' ? 'granted' : 'denied'}${kind === 'person' ? by(who ?? 'a person') : DECIDED[kind]}.`,
  retry: ({ message }) => `The agent is retrying its model: ${message}`,
  verify: ({ command, status }) =>
    `The check ${quoted(command)} ${status === 'running' ? 'started' : status}.`,
  turn_ended: ({ stop_reason, message }) =>
    `The agent's turn ended (${wordsOf(stop_reason)})${colon(message)}`,
  idle: () => 'The agent is waiting for a prompt.',
  notice: ({ text }) => text,
}

const sentences: { [T in EventType]: (event: EventOf<T>) => string } = {
  'run.created': ({ workflow_name }) => `The run of ${workflow_name} was created.`,
  'run.waiting': ({ why }) => `The run is queued: ${why}`,
  'run.started': () => 'The run started.',
  'run.cancel_requested': ({ by: who, force, message }) =>
    `The run was canceled${by(who)}${force ? ', killing everything now' : ''}${colon(message)}`,
  'run.shared': ({ by: who, user, role, can }) =>
    `${who} shared the run with ${user ?? `everyone with the role ${role}`}, who can ${can === 'watch' ? 'watch' : 'take part'}.`,
  'run.unshared': ({ by: who, user, role }) =>
    `${who} stopped sharing the run with ${user ?? `everyone with the role ${role}`}.`,
  'run.timed_out': () => 'The run reached its time limit.',
  'run.finished': ({ status, reason, message }) =>
    `The run ${ended(status)}${message ? colon(message) : because(reason)}`,
  'step.started': ({ step, instances }) =>
    `Step ${step} started${instances.length === 1 ? ` on ${instances[0]!.host}` : ` with ${count(instances.length, 'instance')}`}.`,
  'step.skipped': ({ step, reason, message }) =>
    `Step ${step} was skipped${message ? colon(message) : because(reason)}`,
  'step.finished': ({ step, status, reason, message }) =>
    `Step ${step} ${ended(status)}${message ? colon(message) : because(reason)}`,
  'attempt.created': ({ try: number, host, runner, waiting }) =>
    `Attempt ${number} on ${host} ${runner ? `was assigned to runner ${runner}.` : waiting ? `is waiting: ${waiting}` : 'was created.'}`,
  'attempt.waiting': ({ why }) => `The attempt is waiting: ${why}`,
  'attempt.assigned': ({ runner }) =>
    `The attempt was assigned to ${runner ? `runner ${runner}` : 'the hub'}.`,
  'attempt.started': ({ pid, isolation, made_box }) => {
    const box = isolation && isolation !== 'none' ? isolation : made_box
    return `The attempt started${box ? ` in a ${box}` : ''}${pid === undefined ? '' : ` as process ${pid}`}.`
  },
  'attempt.phase': ({ phase, message, reason }) =>
    `The attempt entered its phase ${wordsOf(phase)}${message ? colon(message) : because(reason)}`,
  'network.refused': ({ to, port, why, count: times }) =>
    `A connection to ${hostPort(to, port)} was refused${times > 1 ? ` ${times.toLocaleString('en')} times` : ''}: ${why}`,
  'network.used': ({ to, port, sent_bytes, received_bytes }) =>
    `The attempt sent ${count(sent_bytes, 'byte')} to ${hostPort(to, port)} and received ${count(received_bytes, 'byte')}.`,
  'artifact.kept': ({ artifact: { name, bytes } }) => `${name} was saved (${count(bytes, 'byte')}).`,
  'git.pushed': ({ branch, repo, forced }) =>
    `Branch ${branch} was pushed to ${repo}${forced ? ', replacing what was there' : ''}.`,
  'pull_request.changed': ({ pull_request: { number, state, draft } }) =>
    `Pull request ${number} is ${draft ? 'an open draft' : state}.`,
  'test.results': ({ tests: { suite, passed, failed, skipped } }) =>
    `Test suite ${suite}: ${passed} passed, ${failed} failed, ${skipped} skipped.`,
  'attempt.secrets': ({ secrets }) =>
    `The attempt receives ${count(Object.keys(secrets).length, 'secret')}: ${Object.keys(secrets).join(', ')}`,
  'attempt.cancel_requested': ({ reason, message }) =>
    `The attempt is being stopped${message ? colon(message) : because(reason)}`,
  output: ({ stream, length }) => `The attempt wrote ${count(length, 'byte')} to ${stream}.`,
  'attempt.finished': ({ outcome, reason, message, exit_code, signal, duration_ms, retry_at }) =>
    `The attempt ${ended(outcome)}${duration_ms === undefined ? '' : ` after ${duration(duration_ms)}`}${
      message ? colon(message) : signal ? `: ${signal}` : because(reason, exit_code)
    }${retry_at === undefined ? '' : ' (it will be retried)'}`,
  'agent.update': ({ update }) => (updates[update.kind] as (update: AgentUpdate) => string)(update),
  'input.given': ({ input, by: who }) => `${INPUTS[input.type]} was sent${by(who)}.`,
  'input.taken': () => 'The agent accepted an input.',
  'input.passed_on': ({ run_id }) => `A prompt came too late and continues the session in ${run_id}.`,
  'input.dropped': ({ message }) => `A prompt came too late: ${message}`,
  'approval.requested': ({ step, message }) => `Step ${step} asks for approval${colon(message)}`,
  'approval.answered': ({ step, decision, by: who, comment, reason }) =>
    reason === undefined
      ? `Step ${step} was ${decision === 'approve' ? 'approved' : 'rejected'}${by(who)}${colon(comment)}`
      : `The question of step ${step} was closed${because(reason)}`,
  'child.started': ({ run_id }) => `Run ${run_id} was started.`,
  'child.finished': ({ run_id, status, message }) => `Run ${run_id} ${ended(status)}${colon(message)}`,
}

/** Returns what an event reports, as one sentence. An event that this page does not know yet is named by its type. */
export function eventSentence(event: RunEvent): string {
  const sentence = sentences[event.type] as ((event: RunEvent) => string) | undefined
  const text = sentence?.(event) ?? wordsOf(event.type)
  return /[.!?…”)]$/.test(text) ? text : `${text}.`
}
