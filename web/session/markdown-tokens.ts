import { Lexer, type Token, type TokensList } from 'marked'

/** How deep quotes, lists and emphasis may stand in one another: within the deepest their marks are text. */
const MOST_DEEP = 20

/** The lexer calls itself for what stands within a block or a piece, as often as a text has it so. */
class BoundedLexer extends Lexer {
  #depth = 0

  override blockTokens(text: string, tokens: Token[] = [], isClipped = false): TokensList {
    return this.#within(text, tokens, () => super.blockTokens(text, tokens, isClipped)) as TokensList
  }

  override inlineTokens(text: string, tokens: Token[] = []): Token[] {
    return this.#within(text, tokens, () => super.inlineTokens(text, tokens))
  }

  #within(text: string, tokens: Token[], lex: () => Token[]): Token[] {
    if (this.#depth >= MOST_DEEP) {
      if (text !== '') tokens.push({ type: 'text', raw: text, text })
      return tokens
    }
    this.#depth++
    try {
      return lex()
    } finally {
      this.#depth--
    }
  }
}

/** Returns the blocks of a Markdown text, with those in them down to a depth. */
export const tokensOf = (text: string): Token[] => new BoundedLexer({ gfm: true }).lex(text)
