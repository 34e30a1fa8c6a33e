import type { ModelRequest, RequestContent } from './request.ts'
import type { TurnUsage } from './script.ts'
import type { ToolCall } from './tool-choice.ts'

/** A turn, made concrete for a request. */
export interface Answer {
  /** Unique within the server. The ids in the answer are made from it. */
  number: number
  thought: string
  text: string
  calls: readonly (ToolCall & { id: string })[]
  usage: TurnUsage
  stop: 'through' | 'max_tokens' | 'refusal'
}

/** A server-sent event. Without a name, only its data is sent. */
export interface StreamEvent {
  name?: string
  data: unknown
}

/** Reads requests and writes answers in one vendor's format. */
export interface Dialect {
  api: ModelRequest['api']
  read(body: Record<string, unknown>): RequestContent
  /**
   * Returns the events of an answer: `head` with the thought and text, and `tail`, which is not sent if the answer
   * hangs.
   */
  stream(answer: Answer, request: ModelRequest): { head: StreamEvent[]; tail: StreamEvent[] }
  /** Sent unchanged after the last event. */
  streamEnd?: string
  whole(answer: Answer, request: ModelRequest): unknown
  failure(status: number, message: string): unknown
}

/** Splits a text so that a reader receives several pieces. */
export const pieces = (text: string): string[] => text.match(/[\s\S]{1,12}/gu) ?? []

export const failureType = (status: number): string =>
  ({
    400: 'invalid_request_error',
    401: 'authentication_error',
    403: 'permission_error',
    404: 'not_found_error',
    429: 'rate_limit_error',
    529: 'overloaded_error',
  })[status] ?? 'api_error'
