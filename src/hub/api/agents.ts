import type { FastifyReply } from 'fastify'
import { agentRun } from '../../blueprints/agent.ts'
import { chatAgentRequest } from '../../compat/agent-api.ts'
import type { NewInput } from '../../contract/agent.ts'
import type { RunInput } from '../../contract/agent-api.ts'
import { ErrandError } from '../../contract/errors.ts'
import { AgentAnswer } from '../agents/follow-ups.ts'
import { agentsHealth, checkAgentName } from '../agents/known-agents.ts'
import { attachmentsOf } from '../agents/prompt-attachments.ts'
import { answerQuestion } from '../agents/question-answers.ts'
import { changeQueue } from '../agents/queue-changes.ts'
import { DEFAULT_TENANT } from '../auth/tokens.ts'
import type { ApiApp, ApiContext } from './api-context.ts'
import { bearer, sharedRun } from './http/access.ts'
import type { Handlers } from './http/routes.ts'
import { requesterOf } from './tasks.ts'

export function agentHandlers({ runners, auth }: ApiContext) {
  return {
    'GET /health/agents': async (request) => {
      const token = bearer(request)
      const identity = token === undefined ? undefined : await auth.authenticate(token)
      const views = await runners.list(identity?.user.tenant ?? DEFAULT_TENANT)
      return agentsHealth(views, identity !== undefined)
    },
  } satisfies Partial<Handlers>
}

/** Limits the length of an answer in one body. */
const MAX_ANSWER_BYTES = 8 * 1024 * 1024

export function chatHandlers({ engine, limits, runners }: ApiContext, app: ApiApp) {
  const stopping = new AbortController()
  app.addHook('preClose', async () => stopping.abort())

  return {
    'POST /api/chat': async ({ identity, body }, reply) => {
      const { user } = identity
      const request = chatAgentRequest(body, limits.chatSeconds)
      const made = agentRun(request)
      if (request.agent !== undefined) checkAgentName(request.agent, await runners.list(user.tenant))
      const { run_id } = await engine.submit({ ...made, owner: user.name, tenant: user.tenant })
      const answer = await wait(run_id, reply)
      const failure = answer.failure(run_id)
      if (failure) throw failure
      const message = await text(run_id, answer.attempt)
      const timestamp = answer.finished!.time
      const { usage, denied } = answer
      return { run_id, message, usage, denied, role: 'assistant' as const, content: message, timestamp }
    },
  } satisfies Partial<Handlers>

  /** Waits until the run has ended. A run that nobody waits for any more is canceled. */
  async function wait(runId: string, reply: FastifyReply): Promise<AgentAnswer> {
    const left = new AbortController()
    const leave = () => left.abort()
    reply.raw.once('close', leave)
    if (reply.raw.destroyed) leave()
    const late = AbortSignal.timeout(limits.chatSeconds * 1000)
    const answer = new AgentAnswer()
    try {
      const signal = AbortSignal.any([left.signal, late, stopping.signal])
      for await (const event of engine.watch(runId, 0, signal)) answer.add(event)
    } catch (error) {
      if (!left.signal.aborted && !late.aborted && !stopping.signal.aborted) throw error
    } finally {
      reply.raw.off('close', leave)
    }
    if (answer.finished) return answer
    const details = { run_id: runId }
    if (stopping.signal.aborted && !left.signal.aborted)
      throw new ErrandError('unavailable', `The hub is stopping; run ${runId} continues.`, {
        hint: `Follow it with: errand runs events ${runId}`,
        details,
      })
    const message = left.signal.aborted
      ? 'nobody is waiting for the answer anymore'
      : 'the answer took too long'
    // The run may end at this very moment.
    await engine.cancel(runId, { message }).catch(() => {})
    const why = answer.waiting === undefined ? '' : ` The run was waiting: ${answer.waiting}.`
    throw new ErrandError('unavailable', `There was no answer within ${limits.chatSeconds} s.${why}`, {
      hint: 'For longer work, create a run with POST /api/runs and follow its stream of events.',
      details,
    })
  }

  async function text(runId: string, attempt: number | undefined): Promise<string> {
    if (attempt === undefined) return ''
    const length = await engine.outputLength(runId, attempt, 'stdout')
    const bytes = await engine.output(runId, attempt, 'stdout', 0, Math.min(length, MAX_ANSWER_BYTES))
    return bytes.toString('utf8').replace(/\n$/, '')
  }
}

export function inputHandlers({ engine, followUps, stored }: ApiContext) {
  return {
    'POST /api/runs/:id/input': async ({ identity, params, body, headers }, reply) => {
      const record = await sharedRun(engine, identity, params.id)
      const newInput = inputOf({ ...body, input_id: body.input_id ?? headers['idempotency-key'] })
      const attachments = await attachmentsOf(stored, requesterOf(identity), body.attachments)
      const input =
        newInput.type === 'prompt' && attachments.length > 0 ? { ...newInput, attachments } : newInput
      reply.code(202)
      const to = { by: identity.user.name, step: body.step, attempt: body.attempt }
      if (input.type === 'prompt')
        return await followUps.give(record, input, {
          ...to,
          interactive: body.interactive,
          fork: body.fork,
        })
      if (input.type === 'queue')
        return { run_id: record.run_id, ...(await changeQueue(engine, record.run_id, input, to)) }
      if (input.type === 'permission')
        return { run_id: record.run_id, ...(await answerQuestion(engine, record.run_id, input, to)) }
      return { run_id: record.run_id, ...(await engine.input(record.run_id, input, to)) }
    },
  } satisfies Partial<Handlers>
}

const kinds = ['prompt', 'permission', 'queue', 'model', 'cancel_turn', 'close'] as const
const ofPrompts = ['attachments', 'now', 'fork'] as const

/** Returns the input of a request. Throws `bad_request`. */
function inputOf({ input_id, prompt, permission, queue, model, ...rest }: RunInput): NewInput {
  const present = kinds.filter((kind) => ({ prompt, permission, queue, model, ...rest })[kind] !== undefined)
  const [kind, other] = present
  if (kind === undefined || other !== undefined)
    throw new ErrandError(
      'bad_request',
      `body: exactly one of ${kinds.map((each) => `"${each}"`).join(', ')} is needed.`,
      {
        hint: 'For example: {"prompt": "..."} or {"permission": {"request_id": "...", "decision": "allow"}}',
      },
    )
  if (prompt !== undefined) return { type: 'prompt', input_id, text: prompt, now: rest.now }
  const stray = ofPrompts.find((name) => rest[name] !== undefined)
  if (stray !== undefined)
    throw new ErrandError('bad_request', `body: "${stray}" is only allowed with "prompt".`, {
      hint: 'Leave it out.',
    })
  if (model !== undefined) return { type: 'model', input_id, model }
  if (queue !== undefined) {
    if ((queue.change === 'edit') !== (queue.text !== undefined))
      throw new ErrandError(
        'bad_request',
        'body.queue: "text" is required for "edit", and only allowed there.',
        {
          hint: 'For example: {"queue": {"prompt_id": "...", "change": "edit", "text": "..."}}',
        },
      )
    return { type: 'queue', input_id, ...queue }
  }
  if (permission !== undefined) {
    const { decision, scope, reason, input, ...named } = permission
    if (input !== undefined && (decision !== 'allow' || scope !== undefined))
      throw new ErrandError(
        'bad_request',
        'body.permission: "input" is only allowed with "allow", and without "scope".',
        {
          hint: 'Leave it out, or change the decision.',
        },
      )
    if ((scope !== undefined && decision !== 'allow') || (reason !== undefined && decision !== 'deny'))
      throw new ErrandError(
        'bad_request',
        'body.permission: "scope" is only allowed with "allow", and "reason" only with "deny".',
        {
          hint: 'Leave it out, or change the decision.',
        },
      )
    const edited = input === undefined ? {} : { input: JSON.stringify(input) }
    return { type: 'permission', input_id, decision, scope, reason, ...named, ...edited }
  }
  return { type: kind === 'close' ? 'close' : 'cancel_turn', input_id }
}
