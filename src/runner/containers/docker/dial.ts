import type Docker from 'dockerode'

/** A request by the client's lower half, where its own call does not do: a stream, or what was read from JSON. */
export function dial<T>(modem: Docker['modem'], request: Parameters<Docker['modem']['dial']>[0]): Promise<T> {
  return new Promise((resolve, reject) => {
    modem.dial(request, (error: Error | null, answer: unknown) => {
      if (error === null) resolve(answer as T)
      else reject(error)
    })
  })
}
