"""Writes moses.json: what sacremoses gives for sentences in English, German and French. Only to be run again when a case is
added, in an environment of its own:
    python3 -m venv build/golden && build/golden/bin/pip install sacremoses==0.2.0
    build/golden/bin/python tests/golden/make_moses.py
"""
import json
import pathlib

from sacremoses import MosesDetokenizer, MosesPunctNormalizer, MosesTokenizer

TEXTS = {
    "en": ["Two young, White males are outside near many bushes.", "A man's hat isn't here, it's the dogs' toy.",
           "He paid $5,300.50 (about 10%) - not 3-4 euros...", "\"Stop!\" she said: 'no way'; why?", "Mr. Smith met Dr. Jones at 5 p.m. today.",
           "“Curly” quotes – and — dashes… don’t you see?", "The U.S. team won. It was 3.5 to 1,5.", "well-known e-mail a/b x_y [z] {w} <tag> & more",
           "We'll they're I've I'd can't o'clock 90's", "I saw it.", "a , b", "(in brackets) and [more]", "Wait....", "  spaces   here ", "No end"],
    "de": ["Zwei junge weiße Männer sind im Freien in der Nähe vieler Büsche.", "„Halt!“, rief er; warum nicht?", "Das kostet 3,50 € bzw. 1.000 Euro.",
           "Ein Mann mit Hut – und Bart – lacht…", "Gib's mir, das ist Hans' Auto.", "Die Straße Nr. 5 ist z.B. lang.", "Ein schwarz-weißer Hund (groß) läuft.",
           "Er sagte: \"Ja\", und ging."],
    "fr": ["L'été, c'est l'heure d'aller à la plage.", "« Bonjour ! » dit-il ; pourquoi ?", "Il a 10 ans et 3,50 euros : c'est tout.",
           "Aujourd'hui, qu'est-ce qu'on mange ?", "Un homme à l'air étonné regarde (vite) la télé.", "M. Dupont a vu l'enfant."],
}


def main():
    out = []
    for language, texts in TEXTS.items():
        normalizer, tokenizer, detokenizer = MosesPunctNormalizer(language), MosesTokenizer(language), MosesDetokenizer(language)
        for text in texts:
            tokens = tokenizer.tokenize(text, escape=False)
            out.append({"language": language, "text": text, "normal": normalizer.normalize(text), "tokens": tokens,
                        "joined": detokenizer.detokenize(tokens, unescape=False)})
    path = pathlib.Path(__file__).with_name("moses.json")
    path.write_text(json.dumps(out, indent=0, ensure_ascii=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
