import { useEffect } from 'react'

interface Key {
  key: string
  /** With Ctrl or Cmd. */
  mod: boolean
  timeStamp: number
}

declare global {
  /** What `public/assets/keys-1.js` holds while `isHolding`; absent where it could not be loaded. */
  var errandHeldKeys: { keys: Key[]; isHolding: boolean } | undefined
}

/** How long a key is held. When it expires, all later keys go too: without it they may mean something else. */
const LONGEST_MS = 5000
/** Letters that cancel, select, approve or deny: nobody means them before seeing the page. */
const CAREFUL = /^[xad]$/i

const isTextField = (element: Element | null): element is HTMLInputElement | HTMLTextAreaElement =>
  element instanceof HTMLTextAreaElement ||
  (element instanceof HTMLInputElement && /^(text|search|password|email|url)$/.test(element.type))

const isShown = ({ tabIndex, disabled, type }: HTMLInputElement) =>
  tabIndex >= 0 && !disabled && type !== 'hidden'

/**
 * Keys that are pressed while what they are for is still being loaded. They are carried out in their order once it is there:
 * as text where a field has the focus, else as keys of the page.
 */
class HeldKeys {
  readonly #held = globalThis.errandHeldKeys ?? { keys: [], isHolding: false }
  #holds = 0
  #isGivingBack = false
  /** Ends the hold of a page that has not been shown yet. */
  #first = this.#held.isHolding ? this.hold() : undefined

  get isHolding(): boolean {
    return this.#held.isHolding
  }

  /** The first page is shown. */
  begin(): void {
    this.#first?.()
    this.#first = undefined
  }

  /** Holds keys until what it answers is called, and no longer than a key is held. */
  hold(): () => void {
    this.#holds++
    this.#held.isHolding = true
    let timer: ReturnType<typeof setTimeout> | undefined
    const release = () => {
      if (timer === undefined) return
      clearTimeout(timer)
      timer = undefined
      this.#holds--
      void this.#giveBack()
    }
    timer = setTimeout(release, LONGEST_MS)
    return release
  }

  async #giveBack(): Promise<void> {
    if (this.#isGivingBack) return
    this.#isGivingBack = true
    const { keys } = this.#held
    // What listens to them does so once all effects of what was shown have run.
    await aTask()
    // What a key opens holds those after it.
    while (this.#holds === 0 && keys.length > 0) {
      const next = keys.shift()!
      if (performance.now() - next.timeStamp > LONGEST_MS || !press(next)) keys.length = 0
      await aTask()
    }
    this.#isGivingBack = false
    this.#held.isHolding = this.#holds > 0
  }
}

const aTask = () => new Promise((resolve) => setTimeout(resolve))

/** Answers whether those after it may follow. */
function press({ key, mod }: Key): boolean {
  const at = document.activeElement
  if (isTextField(at) && !mod) {
    if (key === 'Enter') return false
    if (key === 'Tab') {
      const fields = [...(at.form?.elements ?? [])].filter(
        (one) => isTextField(one) && isShown(one as HTMLInputElement),
      )
      const next = fields[fields.indexOf(at) + 1] as HTMLElement | undefined
      next?.focus()
      return next !== undefined
    }
    // Unlike a value that is set, this is an input that the page hears of, and that can be undone.
    if (key === 'Backspace') return document.execCommand('delete')
    return document.execCommand('insertText', false, key)
  }
  if (key === 'Tab' || key === 'Enter') return false
  if (key === 'Backspace' || (!mod && CAREFUL.test(key))) return true
  const event = new KeyboardEvent('keydown', { key, ctrlKey: mod, bubbles: true, cancelable: true })
  ;(at ?? document.body).dispatchEvent(event)
  return true
}

export const heldKeys = new HeldKeys()

/** Holds keys while something is loaded. */
export async function holdKeysUntil(loaded: Promise<unknown>): Promise<void> {
  const release = heldKeys.hold()
  await loaded.catch(() => undefined)
  release()
}

/** Goes on holding keys of a page that is opened cold, or by a key, until it has its data. */
export function useHeldKeys(waits: boolean): void {
  useEffect(() => (waits && heldKeys.isHolding ? heldKeys.hold() : undefined), [waits])
}
