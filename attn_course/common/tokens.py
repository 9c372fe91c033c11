"""The ids of the special tokens, the same in all lessons."""

PAD = 0  # padding, behind the end of a shorter sequence
BOS = 1  # beginning of sequence: what a decoder reads first
EOS = 2  # end of sequence: what it writes last
UNK = 3  # an unknown word or character
SPECIAL_TOKENS = ("<pad>", "<bos>", "<eos>", "<unk>")
FIRST_ID = len(SPECIAL_TOKENS)  # the first id that is free for a word
