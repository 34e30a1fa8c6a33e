/**
 * Resolves as `work` does, or, once `ms` have passed, with what `late` returns or throws. `work` is then left alone: a
 * later rejection counts as handled.
 */
export function within<T, L = never>(ms: number, work: PromiseLike<T>, late: () => L): Promise<T | L> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => settleBy(late, resolve, reject), ms)
    const over = () => clearTimeout(timer)
    work.then(resolve, reject).then(over)
  })
}

/**
 * Resolves as `work` does, or, once the signal is aborted, with what `aborted` returns or throws: by default the
 * signal's reason is thrown. A later rejection of `work` counts as handled. No listener stays on the signal.
 */
export function unlessAborted<T, A = never>(
  signal: AbortSignal,
  work: PromiseLike<T>,
  aborted: () => A = () => {
    throw signal.reason
  },
): Promise<T | A> {
  return new Promise((resolve, reject) => {
    const abort = () => settleBy(aborted, resolve, reject)
    const over = () => signal.removeEventListener('abort', abort)
    work.then(resolve, reject).then(over)
    if (signal.aborted) abort()
    else signal.addEventListener('abort', abort, { once: true })
  })
}

/** Settles as the first of them does. A rejection of any other counts as handled. */
export function firstOf<Works extends readonly PromiseLike<unknown>[]>(
  ...works: Works
): Promise<Awaited<Works[number]>> {
  return Promise.race(works)
}

function settleBy<T>(answer: () => T, resolve: (value: T) => void, reject: (error: unknown) => void): void {
  try {
    resolve(answer())
  } catch (error) {
    reject(error)
  }
}
