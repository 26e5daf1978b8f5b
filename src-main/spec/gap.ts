// A text with gaps while a model fills them: how main hands it over and the window shows it.

/** A stretch of the text: given by the user, filled in by the model, or a gap that is still open (it reads `_`, one for each token). */
export interface GapPart {
  kind: 'given' | 'filled' | 'open';
  text: string;
}
