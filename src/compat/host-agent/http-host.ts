import { randomUUID } from 'node:crypto'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import { boxFor } from '../../contract/isolation.ts'
import type { Reason } from '../../contract/status.ts'
import type { AttemptSink, Placement, SecretSource, StepHost } from '../../engine/ports.ts'
import { AgentClient, AgentConnections, agentAccess } from './agent-client.ts'
import { HostFailure, type RemoteLimits } from './host-failure.ts'
import { RemoteAttempt } from './remote-attempt.ts'

export interface HttpHostOptions extends Partial<RemoteLimits> {
  /** The token for hosts whose inventory entry names no `token_env`. */
  token?: string
  /** The environment in which `token_env` is looked up. Default: this process's. */
  env?: Readonly<Record<string, string | undefined>>
  /** Values of the secrets that steps name. Default: there are none. */
  secrets?: SecretSource
  /** Most attempts at once; the others wait their turn. Default 256. */
  maxAtOnce?: number
}

interface Held {
  attempt: RemoteAttempt
  /** Removed once it is called. */
  go: (() => Promise<void>) | undefined
}

/** Runs attempts on host agents (`errand agent-server`), each at the address of its host. */
export class HttpHost implements StepHost {
  readonly #options: HttpHostOptions
  readonly #limits: RemoteLimits
  readonly #connections = new AgentConnections()
  readonly #held = new Map<string, Held>()
  readonly #loops = new Set<Promise<void>>()
  #underWay = 0
  #closed = false

  constructor(options: HttpHostOptions = {}) {
    this.#options = options
    this.#limits = {
      requestTimeoutMs: options.requestTimeoutMs ?? 10_000,
      reachWithinMs: options.reachWithinMs ?? 20_000,
      overdueAfterMs: options.overdueAfterMs ?? 4500,
      lostAfterMs: options.lostAfterMs ?? 60_000,
      cancelGraceMs: options.cancelGraceMs ?? 5000,
      cancelWithinMs: options.cancelWithinMs ?? 15_000,
    }
  }

  place(_spec: AttemptSpec): Placement {
    return { epoch: 1 }
  }

  start(spec: AttemptSpec, placement: Placement | undefined, sink: AttemptSink): void {
    this.#queue(spec, placement, sink, (attempt) => attempt.begin())
  }

  resume(
    spec: AttemptSpec,
    placement: Placement | undefined,
    known: Parameters<StepHost['resume']>[2],
    sink: AttemptSink,
  ): void {
    this.#queue(spec, placement, sink, (attempt) => attempt.resume(known.started))
  }

  cancel(attemptId: string, reason: Reason, force = false): void {
    const held = this.#held.get(attemptId)
    if (held === undefined) return
    held.attempt.cancel(reason, force)
    // An attempt that still waits for its turn ends now, without being sent.
    void held.go?.()
  }

  /** Does nothing: agents retain what they were given for a while of their own. */
  runEnded(_runId: string): void {}

  async close(): Promise<void> {
    this.#closed = true
    for (const { attempt } of this.#held.values()) attempt.leave()
    this.#held.clear()
    await Promise.allSettled(this.#loops)
    this.#connections.close()
  }

  #queue(
    spec: AttemptSpec,
    placement: Placement | undefined,
    sink: AttemptSink,
    work: (attempt: RemoteAttempt) => Promise<void>,
  ): void {
    if (this.#closed) return
    const open = () => this.#clientOf(spec)
    const secrets = this.#options.secrets ?? noSecrets
    const attempt = new RemoteAttempt(asSent(spec), placement, open, sink, secrets, this.#limits)
    const held: Held = { attempt, go: undefined }
    held.go = () => {
      held.go = undefined
      this.#underWay++
      const loop = work(attempt).finally(() => {
        this.#underWay--
        if (this.#held.get(spec.attempt_id) === held) this.#held.delete(spec.attempt_id)
        this.#next()
      })
      return this.#keep(loop)
    }
    this.#held.set(spec.attempt_id, held)
    this.#next()
  }

  #next(): void {
    const most = this.#options.maxAtOnce ?? 256
    if (this.#closed || this.#underWay >= most) return
    for (const held of this.#held.values()) {
      if (held.go === undefined) continue
      void held.go()
      if (this.#underWay >= most) return
    }
  }

  #keep(loop: Promise<void>): Promise<void> {
    const settled = loop.catch(() => {}).finally(() => this.#loops.delete(settled))
    this.#loops.add(settled)
    return settled
  }

  /** Throws a `HostFailure` that says what is missing. */
  #clientOf(spec: AttemptSpec): AgentClient {
    const { token, env = process.env } = this.#options
    const box = boxFor(spec.isolation, spec.network) ?? 'none'
    // An agent of an earlier release would silently run it without a box.
    if (box !== 'none')
      throw new HostFailure(
        'failed',
        'invalid_argument',
        `The step asks for a ${box}, but host agents do not make boxes. Run it with errand run --hub on a runner that does, or remove isolation and network.`,
      )
    if (spec.artifacts?.length || spec.needs_files?.length)
      throw new HostFailure(
        'failed',
        'invalid_argument',
        'The step stores files or needs files of other steps, which host agents do not support. Run it with errand run, here or with --hub, or remove artifacts and needs_files.',
      )
    const access = agentAccess(spec, { token, env })
    if (access.missing === undefined)
      return new AgentClient(this.#connections, access.base, access.token, this.#limits.requestTimeoutMs)
    const reason = access.missing === 'address' ? 'host_unreachable' : 'host_unauthorized'
    throw new HostFailure('failed', reason, `${access.message} ${access.hint}`)
  }
}

const noSecrets: SecretSource = {
  reveal: async ({ secrets = {} }) => {
    const name = Object.values(secrets).find(({ from }) => from === 'hub')?.name
    if (name === undefined) return {}
    throw new ErrandError('secret_not_found', `The secret "${name}" was not given.`, {
      hint: 'Give it with --secret NAME=VALUE or --secret NAME=@FILE, or run the workflow on a hub that has it.',
    })
  },
}

function asSent(spec: AttemptSpec): AttemptSpec {
  // The engine's store receives the whole output and writes it to the folder; an agent on the same machine would write
  // to the same files.
  const { output_path: _here, ...args } = spec.args
  // The id keeps an agent from mistaking this attempt for that of another run with the same id, and repeating its
  // result.
  return { ...spec, args, request_id: randomUUID() }
}
