// Sentences of main that a window may show, read out of its source: texts of problems and errors, with a sample in place of what is filled in.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { root, sources } from './source';

export interface Sentence {
  text: string;
  /** File and line. */
  at: string;
}

/** What never reaches a window: the terminal's own, the builds', the harnesses'. */
const ELSEWHERE =
  /^src-main\/hosts\/|\/testing\/|\.test\.ts$|^src-main\/engine\/(bench|torch|parity|safetensors)|\/parts\/golden/;
/** A number fits into most places; names stand where numbers do. */
const SAMPLE = '7';
/** Where whole sentences are made in other ways too, and what they look like. */
const ABOUT_RUNS = /^src-main\/(runs|train|rpc)\//;
const WHOLE = /^[A-Z7][^\n]* [^\n]* [^\n]*\.$/;
const SPOKEN = new Set(['message', 'hint', 'why']);
const ERRORS = new Set(['SpecError', 'Error']);

/** The texts that an expression may be: templates with samples, both sides of a choice. */
function textsOf(node: ts.Expression): string[] {
  if (ts.isStringLiteralLike(node)) return [node.text];
  if (ts.isParenthesizedExpression(node)) return textsOf(node.expression);
  if (ts.isConditionalExpression(node)) return [...textsOf(node.whenTrue), ...textsOf(node.whenFalse)];
  if (ts.isBinaryExpression(node)) {
    const kind = node.operatorToken.kind;
    if (kind === ts.SyntaxKind.PlusToken)
      return textsOf(node.left).flatMap((left) => textsOf(node.right).map((right) => left + right));
    if (kind === ts.SyntaxKind.AmpersandAmpersandToken) return textsOf(node.right);
    if (kind === ts.SyntaxKind.QuestionQuestionToken) return [...textsOf(node.left), ...textsOf(node.right)];
  }
  if (ts.isTemplateExpression(node))
    return node.templateSpans.reduce(
      (all, { expression, literal }) => {
        const inner = ts.isConditionalExpression(expression) ? textsOf(expression) : [SAMPLE];
        return all.flatMap((text) => (inner.length ? inner : [SAMPLE]).map((part) => text + part + literal.text));
      },
      [node.head.text],
    );
  return [];
}

/** Every sentence of main that a window may show. */
export function sentences(): Sentence[] {
  const found: Sentence[] = [];
  for (const { path } of sources().filter(({ path }) => /^src-main\/.*\.ts$/.test(path) && !ELSEWHERE.test(path))) {
    const file = ts.createSourceFile(path, readFileSync(join(root, path), 'utf8'), ts.ScriptTarget.Latest, true);
    const take = (node: ts.Expression) => {
      const at = `${path}:${file.getLineAndCharacterOfPosition(node.getStart()).line + 1}`;
      for (const text of textsOf(node)) if (/[a-z]{2} /i.test(text)) found.push({ text, at });
    };
    const visit = (node: ts.Node): void => {
      if (ts.isNewExpression(node) && ERRORS.has(node.expression.getText()) && node.arguments?.[0])
        take(node.arguments[0]);
      if (ts.isCallExpression(node) && node.expression.getText() === 'fail' && node.arguments[1])
        take(node.arguments[1]);
      if (ts.isVariableDeclaration(node) && SPOKEN.has(node.name.getText()) && node.initializer) take(node.initializer);
      if (ABOUT_RUNS.test(path) && (ts.isStringLiteralLike(node) || ts.isTemplateExpression(node)))
        for (const text of textsOf(node)) if (WHOLE.test(text)) take(node);
      if (ts.isPropertyAssignment(node) && SPOKEN.has(node.name.getText())) take(node.initializer);
      ts.forEachChild(node, visit);
    };
    visit(file);
  }
  return found;
}
