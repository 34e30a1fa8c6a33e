import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { ErrandError } from '../../contract/errors.ts'

export interface ListenAddress {
  host: string
  port: number
}

/**
 * Parses ":7072", "7072", "10.0.0.5:7072", "[::1]:7072". Without a host it is loopback: a server that takes commands
 * must not listen on the network unless asked to. Throws `invalid_argument`.
 */
export function parseListenAddress(text: string): ListenAddress {
  const match = /^(?:(\[[0-9a-fA-F:.]+\]|[^:[\]\s]*):)?(\d{1,5})$/.exec(text.trim())
  const port = Number(match?.[2])
  if (match === null || port > 65_535)
    throw new ErrandError('invalid_argument', `"${text}" is not an address to listen on.`, {
      hint: 'Write ":7072" for this machine only, or "ADDRESS:7072" with an address of this machine for a network.',
    })
  return { host: match[1]?.replace(/^\[|\]$/g, '') || '127.0.0.1', port }
}

/** Listens; resolves with the address. Throws `address_in_use`, `invalid_argument`. */
export function listenOn(server: Server, { host, port }: ListenAddress): Promise<ListenAddress> {
  return new Promise((resolve, reject) => {
    const failed = (cause: NodeJS.ErrnoException) => reject(listenError(cause, host, port))
    server.once('error', failed)
    server.listen(port, host, () => {
      server.off('error', failed)
      const bound = server.address() as AddressInfo
      resolve({ host: bound.address, port: bound.port })
    })
  })
}

function listenError(cause: NodeJS.ErrnoException, host: string, port: number): ErrandError {
  const at = `${host}:${port}`
  if (cause.code === 'EADDRINUSE')
    return new ErrandError('address_in_use', `Port ${port} on ${host} is used by another program.`, {
      hint: 'Choose another port with --addr, or stop the program that uses it.',
      cause,
    })
  if (cause.code === 'EACCES')
    return new ErrandError('invalid_argument', `This user may not listen on ${at}.`, {
      hint: 'Choose a port of 1024 or higher.',
      cause,
    })
  return new ErrandError('invalid_argument', `Cannot listen on ${at}: ${cause.message}.`, {
    hint: 'Give an address of this machine, such as 127.0.0.1.',
    cause,
  })
}

/** Returns the address as a URL. */
export const urlOf = ({ host, port }: ListenAddress): string =>
  `http://${host.includes(':') ? `[${host}]` : host}:${port}`
