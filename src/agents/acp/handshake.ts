import type { AgentModel, AgentUpdateOf } from '../../contract/agent.ts'
import type { AttachmentKind } from '../../contract/attachment-kind.ts'
import type { ProtocolFailure, SessionRequest } from '../agent.ts'
import { modelFailureOf } from '../failure.ts'
import {
  errorText,
  type JsonObject,
  type JsonRpc,
  object,
  objects,
  type RpcError,
  string,
} from './json-rpc.ts'
import { type AcpProfile, withHint } from './profile.ts'
import { present } from './session-updates.ts'

const PROTOCOL_VERSION = 1
const AUTH_REQUIRED = -32000
/** Most models of an agent that an error names. */
const MAX_REPORTED_CHOICES = 20
const MAX_REPORTED_MODELS = 100

export interface HandshakePort {
  begun(sessionId: string, update: AgentUpdateOf<'session'>): void
  notice(text: string): void
  failed(failure: ProtocolFailure): void
}

/** Leads from the start of the process to a session that accepts prompts: initialize, new or load, and its settings. */
export class Handshake {
  readonly #profile: AcpProfile
  readonly #request: SessionRequest
  readonly #rpc: JsonRpc
  readonly #port: HandshakePort
  #version: string | undefined
  #origin: 'new' | 'loaded' = 'new'
  #takes: AttachmentKind[] = []
  #forks: true | undefined
  #choice: ModelChoice | undefined

  constructor(profile: AcpProfile, request: SessionRequest, rpc: JsonRpc, port: HandshakePort) {
    this.#profile = profile
    this.#request = request
    this.#rpc = rpc
    this.#port = port
  }

  begin(): void {
    const params = {
      protocolVersion: PROTOCOL_VERSION,
      clientCapabilities: { fs: { readTextFile: false, writeTextFile: false }, terminal: false },
      clientInfo: { name: 'errand', title: 'Errand', version: '1' },
    }
    this.#call('initialize', params, 'start_failed', (result) => this.#initialized(result))
  }

  #initialized(result: JsonObject): void {
    if (result.protocolVersion !== PROTOCOL_VERSION) {
      const message = `The agent speaks version ${result.protocolVersion} of the Agent Client Protocol; Errand speaks version ${PROTOCOL_VERSION}.`
      return void this.#port.failed({ reason: 'start_failed', message })
    }
    this.#version = string(object(result.agentInfo)?.version)
    const capabilities = object(result.agentCapabilities)
    this.#forks = object(object(capabilities?.sessionCapabilities)?.fork) && true
    const prompts = object(capabilities?.promptCapabilities)
    this.#takes = [
      ...(prompts?.image === true ? (['image'] as const) : []),
      ...(prompts?.embeddedContext === true ? (['text', 'pdf', 'other'] as const) : []),
    ]
    const sessionId = this.#request.session_id
    const resume = object(object(capabilities?.sessionCapabilities)?.resume) !== undefined
    const place = { cwd: this.#request.cwd, mcpServers: [] }
    if (sessionId !== undefined && this.#request.fork) {
      if (this.#forks === undefined)
        return void this.#port.failed({
          reason: 'invalid_argument',
          message: 'This agent cannot branch a session: continue the session itself, or start another.',
        })
      return void this.#call('session/fork', { sessionId, ...place }, 'start_failed', (session) =>
        this.#opened(string(session.sessionId) ?? '', session),
      )
    }
    if (sessionId !== undefined && (capabilities?.loadSession === true || resume)) {
      this.#origin = 'loaded'
      const method = capabilities?.loadSession === true ? 'session/load' : 'session/resume'
      return void this.#call(method, { sessionId, ...place }, 'start_failed', (session) =>
        this.#opened(sessionId, session),
      )
    }
    if (sessionId !== undefined)
      this.#port.notice('This agent cannot resume an earlier session: a new one starts.')
    this.#call('session/new', place, 'start_failed', (session) =>
      this.#opened(string(session.sessionId) ?? '', session),
    )
  }

  #opened(sessionId: string, session: JsonObject): void {
    const { asking } = this.#profile
    const option = sessionOptions(session).find(({ id }) => id === asking?.option)
    if (
      asking === undefined ||
      option === undefined ||
      this.#request.ask === 'allow' ||
      option.value === asking.value
    )
      return void this.#chooseModel(sessionId, session)
    const params = { sessionId, configId: option.id, value: asking.value }
    this.#call('session/set_config_option', params, 'start_failed', () =>
      this.#chooseModel(sessionId, session),
    )
  }

  /** Returns the call that selects another of the agent's models, or undefined if the agent does not support that. */
  switching(sessionId: string, model: string): { method: string; params: JsonObject } | undefined {
    return this.#choice && switching(this.#choice, sessionId, model)
  }

  #chooseModel(sessionId: string, session: JsonObject): void {
    const choice = modelChoice(session)
    this.#choice = choice
    const requestedModel = this.#request.model
    if (
      requestedModel === undefined ||
      this.#profile.model === 'launch' ||
      choice?.current === requestedModel
    )
      return void this.#begun(sessionId, requestedModel ?? choice?.current)
    if (choice === undefined) {
      const message = `The model of this agent cannot be selected (requested: ${requestedModel}).`
      return void this.#port.failed({ reason: 'invalid_argument', message })
    }
    const { method, params } = switching(choice, sessionId, requestedModel)
    this.#rpc.request(method, params, (answer) => {
      if (answer.type === 'result') return void this.#begun(sessionId, requestedModel)
      const known = choice.choices
        .slice(0, MAX_REPORTED_CHOICES)
        .map(({ id }) => id)
        .join(', ')
      const message = `The agent refuses the model ${requestedModel}: ${errorText(answer.error)}. Available models: ${known}`
      this.#port.failed({ reason: 'model', message })
    })
  }

  #begun(sessionId: string, model: string | undefined): void {
    const models = (this.#choice?.choices ?? []).slice(0, MAX_REPORTED_MODELS)
    this.#port.begun(
      sessionId,
      present({
        kind: 'session',
        agent: this.#profile.agent,
        version: this.#version,
        model,
        session_id: sessionId,
        origin: this.#origin,
        takes: this.#takes.length === 0 ? undefined : this.#takes,
        forks: this.#forks,
        models: models.length === 0 ? undefined : models,
      }),
    )
  }

  #call(
    method: string,
    params: JsonObject,
    reason: ProtocolFailure['reason'],
    then: (result: JsonObject) => void,
  ): void {
    this.#rpc.request(method, params, (answer) => {
      if (answer.type === 'result') then(answer.result)
      else this.#port.failed(refused(method, answer.error, reason, this.#profile.keyHint))
    })
  }
}

function refused(
  method: string,
  error: RpcError,
  reason: ProtocolFailure['reason'],
  keyHint: string | undefined,
): ProtocolFailure {
  const text = errorText(error)
  if (error.code === AUTH_REQUIRED || modelFailureOf(text) === 'auth')
    return {
      reason: 'model',
      message: `The agent needs a login or a key: ${withHint(text, keyHint)}`,
    }
  return { reason, message: `The agent refused ${method}: ${text}` }
}

/** Describes a setting that the answer to `session/new` or `session/load` offers. */
interface SessionOption {
  id: string
  category: string | undefined
  value: string | undefined
  choices: AgentModel[]
}

function sessionOptions(session: JsonObject): SessionOption[] {
  return objects(session.configOptions).map((option) => ({
    id: string(option.id) ?? '',
    category: string(option.category),
    value: string(option.currentValue),
    // Choices may be grouped.
    choices: objects(option.options)
      .flatMap((choice) => (Array.isArray(choice.options) ? objects(choice.options) : [choice]))
      .map((choice) => present({ id: string(choice.value) ?? '', name: string(choice.name) })),
  }))
}

/** Describes how the model of a session is selected, and which one is current. */
type ModelChoice =
  | { type: 'option'; option: string; current?: string; choices: AgentModel[] }
  | { type: 'models'; current?: string; choices: AgentModel[] }

function switching(choice: ModelChoice, sessionId: string, model: string) {
  return choice.type === 'option'
    ? { method: 'session/set_config_option', params: { sessionId, configId: choice.option, value: model } }
    : { method: 'session/set_model', params: { sessionId, modelId: model } }
}

/** Returns the choice of models that a session offers, or undefined if the model cannot be selected. */
function modelChoice(session: JsonObject): ModelChoice | undefined {
  const option = sessionOptions(session).find(({ category }) => category === 'model')
  if (option !== undefined)
    return { type: 'option', option: option.id, current: option.value, choices: option.choices }
  const models = object(session.models)
  if (models === undefined) return undefined
  const choices = objects(models.availableModels).map((model) =>
    present({ id: string(model.modelId) ?? '', name: string(model.name) }),
  )
  return { type: 'models', current: string(models.currentModelId), choices }
}
