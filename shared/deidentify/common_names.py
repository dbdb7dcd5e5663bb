"""Authored word lists for names: frequent given names and surnames, and the words around a name.

The large lists that `shared.deidentify.name_lists` reads (97,000 given names, 161,000 surnames) hold most of an
English dictionary too ("love", "paris", "toyota"), so they cannot decide alone in lower-case text. These small lists
hold names that are frequent in English-speaking countries, split by whether they are also an ordinary word.
"""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Given names that are hardly ever anything else, whatever the case.
GIVEN_NAMES = _words("""
aaliyah aaron abby abdul abdullah abigail abraham adam adele adrian adriana adrienne agnes ahmad ahmed
aidan aiden aileen aisha aishah alan alana albert alberto alejandra alejandro alessandra alex alexa
alexander alexandra alexandria alexia alexis alfred alfredo ali alice alicia alina alisha alison alistair
allison allyson alma alonzo alyssa amanda amelia amina amir amit amy ana anastasia andre andrea andreas
andres andrew andy angela angelica angelina angelo angie anika anil anita anjali ann anna annabelle anne
annette annie anthony antoine antonia antonio anya aria ariana arianna ariel arjun armando arnold arthur
arturo ashanti ashlee ashley asha astrid athena aubrey audrey aurora ava avery ayesha bailey barbara barry
beatrice becca becky belinda ben benjamin benny bernadette bernard bernice bernie bertha beth bethany
betsy bettina betty beverly bianca bjorn blake bob bobby bonnie brad bradley brady brandi brandon brandy
brayden brenda brendan brent brett brian briana brianna bridget britney brittany brittney brooke bruce
bruno bryan bryce bryson byron caitlin caitlyn caleb callie calvin camila camille cameron candace candice
carl carla carlos carly carmen carol carole carolina caroline carolyn carrie carson casey cassandra cassie
catalina catherine cathy cecilia cedric celeste celia cesar chandra chantal charlene charles charlie
chelsea cheryl chloe chris chrissy christa christina christine christopher christy cindy claire clara
clarence claude claudia clayton clifford clint clyde cody colin colleen connie connor conor corey corinne
cory courtney craig cristina curtis cynthia daisy damian damien dan dana dani daniel daniela daniella
danielle danny daphne darius darlene darnell darrell darren darryl daryl dave david dawson deandre deanna
debbie deborah debra deepak delia delores denise dennis derek derrick deshawn desiree devin devon diana
diane diego dimitri dmitri dolores dominic dominique donald donna donnie dora doreen doris dorothy doug
douglas duane dustin dwayne dwight dylan ebony eddie eden edgar edith edmund eduardo edward edwin eileen
elaine eleanor elena eli elias elijah elisa elisabeth elise eliza elizabeth ella ellen ellie elliot
elliott eloise elsa elsie emilia emilio emily emma enrique eric erica erick erik erika erin ernest ernesto
esmeralda esteban estelle esther ethan eugene eva evan evelyn fabian farah fatima felicia felipe fernanda
fernando fiona frances francesca francesco francis francisco frankie fred freddie frederick gabby gabriel
gabriela gabriella gabrielle gail gareth garrett gary gavin geoff geoffrey george georgina gerald
geraldine gerard gianna gilbert gina giovanni gisele giuseppe gladys glenda glenn gloria gordon greg gregg
gregory greta gretchen guadalupe guillermo gustavo gwen gwendolyn hailey haley hamza hana hannah hans
hassan hayley hector heidi helen helena henrik henry herbert herman hilda hillary hiroshi holly howard
hugh hugo humberto ian ibrahim ignacio igor ilana imani imran ina ines ingrid irene irina isaac isaiah
isabel isabella isabelle isaac ishaan ismael ivan jackie jackson jaclyn jacob jacqueline jada jaden jaime
jake jamal james jamie jamila jan jana jane janelle janet janice janine jared jasmin jasmine jason jasper
javier jayden jayla jeanette jeanne jeff jeffrey jen jenna jennie jennifer jenny jeremiah jeremy jerome
jerry jess jesse jessica jessie jill jillian jim jimmy jo joan joana joann joanna joanne jocelyn jodi
jodie jody joe joel joey johan johanna john johnathan johnny jon jonah jonas jonathan jordan jorge jose
josef joseph josephine joshua josie josue joyce juan juanita juan judith judy julia julian juliana
julianna julie juliet julio julius justin kaitlin kaitlyn kara karen kari karim karin karina karl karla
kate katelyn katerina katherine kathleen kathryn kathy katie katrina katy kayla kaylee keisha keith kelley
kelli kellie kelly kelsey kelvin kendall kendra kenji kenneth kenny kent kerri kerry kevin khadija khalid
kieran kiara kimberly kirsten kirk klaus kourtney krista kristen kristi kristie kristin kristina kristine
kristy krystal kurt kyla kyle kylie lakeisha lakisha lamar larry latasha latisha latoya laura lauren
laurence laurie lawrence leah leandro leila leilani lena leo leon leona leonard leonardo leroy leslie
leticia lewis liam lila lilian liliana lillian linda lindsay lindsey lisa liz liza lizzie logan lois lola
lonnie loretta lori lorraine louis louise lucas lucia luciana lucille lucy luis luisa luka lukas luke
luther lydia lyle lynda lynette lynn lynne mackenzie maddie madeleine madeline maggie mahmoud malachi
malcolm malik mallory mandy manuel marc marcel marcela marcia marcie marco marcos marcus margaret
margarita margie marguerite maria mariah mariam marian mariana marianne marie mariel marilyn marina mario
marion marisa marisol marissa marjorie marlene marquis marsha marshall marta martha martin martina marvin
mary maryam mateo mathew matilda matt matteo matthew maureen maurice mauricio maxine maya mckenzie megan
meghan mei melanie melinda melissa melvin mercedes meredith michael michaela micheal michele michelle
miguel mikayla mike mikhail mila mildred millie milton mina mindy mira miranda miriam mitch mitchell moira
molly mona monica monique morgan moses muhammad mohamed mohammed mustafa myra myrtle nadia nadine nancy
naomi nasir natalia natalie natasha nate nathan nathaniel neha neil nelson nicholas nick nicky nicola
nicolas nicole nigel nikki nikhil nikita nina noah noel noelle noor nora norma norman octavia odessa olga
oliver olivia omar oscar osama otis owen pablo paige pam pamela paolo patricia patrick patti patty paul
paula paulette paulina pauline pedro peggy percy perry peter petra phil philip phillip phoebe phyllis
pierre polly porter preeti preston priscilla priya priyanka quentin quincy quinn rachael rachel rafael raj
rajesh ralph ramesh ramiro ramon ramona randall randy raphael raquel rashad rashid raul ravi raymond
rebecca reggie regina reginald reid renata rene renee reuben rhonda ricardo richard rick ricky riley rita
roberta robert roberto robin rochelle rod roderick rodney rodrigo roger roland rolando roman romeo ron
ronald ronnie rory rosa rosalie rosalind rosanna rosario rosemarie rosie roxanne roy ruben rudy rufus
russell ruth ryan sabrina sadie sally salma salvador salvatore sam samantha sameer samir samira sammy
samuel sandra sanjay santiago sara sarah sasha satoshi saul scott sean sebastian selena serena sergei
sergio seth shane shanice shanika shannon sharon shaun shauna shawn shawna sheena sheila shelby sheldon
shelley sherri sherrie sherry sheryl shirley sidney sierra silvia simon simone sonia sonja sonya sophia
sophie spencer stacey staci stacie stacy stan stanley stefan stefanie stella stephan stephanie stephen
steve steven stewart stuart sunil suresh susan susana susanna susannah susanne susie suzanne sven sylvia
tabitha tamara tameka tamika tammy tanisha tanner tanya tara tariq tasha tatiana taylor ted terence teresa
teri terrance terrell terrence terri terry tessa thelma theo theodore theresa thomas tiffany tim timmy
timothy tina tobias toby todd tom tomas tommy toni tonya tracey traci tracie tracy travis trent trevor
tricia trina trisha tristan troy trudy tyler tyrone tyson ursula valentina valerie vanessa vera vernon
veronica vicki vickie vicky victor victoria vijay vikram vince vincent vincenzo viola virgil vivian
vladimir wallace walter wanda wayne wendell wendy wesley whitney wilbur wilhelm willa willard william
willie wilma winifred winston wyatt xavier ximena yasmin yasmine yolanda youssef yuki yusuf yvette yvonne
zach zachary zack zainab zane zoe zoey zachariah tonya tyrell jermaine lashonda lamont trey dwight kaya
kaleb kendrick anand ananya deepa divya kavita lakshmi manish meera neha nisha pooja rahul rohan rohit
sandeep sanjeev shreya sneha sunita swati vivek mohammad bilal faisal habib hussein jamila karima layla
mariam nasreen omar rania saad salim samira yousef zahra thuy linh trang huong chiara giulia lorenzo
matthias jurgen wolfgang katarzyna agnieszka piotr tomasz olena oleksandr svetlana natalya yuri sergey
kwame kofi amara chidi chinedu ngozi oluwaseun adebayo folake akua abena siobhan niamh aoife sinead ciaran
eoin
""")

# Given names that are also words, months, places or brands: a name only where the sentence says so.
AMBIGUOUS_GIVEN_NAMES = _words("""
abel ace alba amber amity angel april art asia aspen august austin autumn basil bay bear bella bill billy
bliss bo booker brad brook buck bud buddy cash chad chance chandler charity charlotte chase chastity
cherish cherry cheyenne chip christian chuck clarity clay clementine cliff clover colt comfort constance
cooper coral cosmo crystal dakota dallas dash dawn dean denver destiny dick dixie dolly don dot drew duke
dusty earl earnest ebony echo eden ember emerald eve ever faith fawn fern finn flora florence fox frank
gale gene genesis georgia ginger glen glory gloria goldie grace grady grant gray guy hank happy harley
harmony harry haven hazel heath heather heaven henna herb hope hunter india iris israel ivory ivy jack
jade jay jean jersey jet jewel jewels job josh joy jude judge june junior justice kat ken kendal kenya kim
king kit kitty lance lane lark laurel lee lex liberty lily linden lin london lorn lotus love loyal lucky
madison maggie magnolia major marina mark marlin marquis mason max may mel melody memory mercy merry
mickey miles misty myrtle neve nova norm oak ocean olive opal pansy paris parker pat patience patsy patton
pearl penny pepper petunia phoenix piper poppy porsha precious presley price primrose princess prince
prosper prudence queenie rain rainbow raven ray rebel reed reggie rex rich ridge river rob robbie rocky
rose rosemary rowan ruby russ rusty rye sabine sage saffron sal sandy savannah savanna scarlett sean
serenity shad shay shelly shiloh skip skipper sky skye sonny sparkle stark star stella sterling stone
stormy sue sullivan summer sunny sunshine sydney tad tatum temperance terra tiger timber toni tony tori
treasure trinity trip trish true tucker ty tyra unity val velvet victor vi vic violet virginia wade walker
ward warren webb wells west will willow winter wolf woody worth young zen zion wei van minh kai long song
ming chance
""") - _words("tony toni josh ken kim stella gloria heather sean maggie brad reggie robbie trish ebony eden marina")
GIVEN_NAMES |= _words("tony josh ken kim heather toni maggie robbie trish")

# Surnames frequent enough to follow a given name even where they are words.
SURNAMES = _words("""
adams alexander allen alvarez anderson armstrong arnold bailey baker barnes bell bennett berg black boyd
bradley brooks brown bryant burke burns butler byrne campbell carpenter carroll carter castillo chan chang
chavez chen clark cohen cole coleman collins cook cooper cox crawford cruz cunningham daniels davis day
diaz dixon duncan dunn edwards ellis evans ferguson fernandez fisher flores ford foster fox freeman fuller
garcia gardner gibson gomez gonzales gonzalez gordon graham grant gray green greene griffin gupta
gutierrez hall hamilton hansen hanson harper harris harrison hart harvey hassan hawkins hayes henderson
henry hernandez herrera hicks hill hoffman holmes howard hudson hughes hunt hunter iyer jackson james
jenkins jensen jimenez johnson johnston jones jordan kaur kelly kennedy khan kim king knight kumar lane
larson lawrence lawson lee lewis li lin little liu long lopez lynch marshall martin martinez mason
matthews mcdonald medina mendez mendoza miller mills mitchell moore morales moreno morgan morris murphy
murray myers nelson nguyen nichols novak olson ortiz owens palmer park parker patel patterson payne perez
perkins perry peters peterson phillips pierce porter powell price ramirez ramos ray reed reid reyes
reynolds rice richards richardson riley rivera roberts robertson robinson rodriguez rogers romero rose
ross ruiz russell ryan sanchez sanders santos schmidt schneider schultz scott shah sharma shaw simmons
simpson singh smith snyder sorensen spencer stein stephens stevens stewart stone sullivan tanaka taylor
thomas thompson torres tran tucker turner vargas vasquez wagner walker wallace wang ward warren washington
watkins watson weaver webb weber wells west wheeler white williams williamson willis wilson wong wood
woods wright wu yang young zhang zimmerman
""")

# Words after which a name is likely ("my brother will will not come").
KIN = _words("""
husband wife hubby wifey spouse partner fiance fiancee boyfriend girlfriend bf gf ex boyfriends friend
bestie bff roommate roommates mom mum mother dad father stepdad stepmom stepfather stepmother brother
sister bro sis stepbrother stepsister son daughter stepson stepdaughter kid child baby cousin uncle aunt
auntie niece nephew grandma grandpa grandmother grandfather grandson granddaughter therapist counselor
counsellor psychiatrist psychologist doctor coworker colleague boss manager neighbor neighbour teacher
pastor coach supervisor crush twin guy girl man woman named called
""")
TITLES = _words(
    "dr mr mrs ms miss mx prof professor rev reverend pastor sir madam fr sr nurse uncle aunt auntie grandma grandpa"
)
GREETINGS = _words("hi hello hey dear thanks hiya greetings")
SAYING = _words("""
said says say told tells asked asks thinks thought knows knew wants wanted keeps kept left leaves hit hits
cheated cheats lied lies called calls texted texts loves loved hates hated moved broke got gets died has
had was is isnt wont doesnt didnt does did went goes
""")
PARTICLES = _words("van von de del della der den di da dos la le el al bin binti ibn st o mac mc ter ten")
# After a name, these make it a disease, test, method or firm.
EPONYM_NOUNS = _words("""
disease syndrome lymphoma catheter scale score test inventory index institute foundation method line sign
palsy chorea esophagus criteria law effect theory therapy questionnaire fracture procedure maneuver tumor
sarcoma center centre clinic university college school hospital church street avenue road inc llc corp
company card store stores collection
""")
CONTRACTIONS = _words("""
wont dont doesnt didnt cant couldnt wouldnt shouldnt isnt arent wasnt werent hasnt havent hadnt aint im
ive id hes shes theyre youre thats whats lets gonna wanna gotta kinda alot alway becuase beacuse tho thru
bc cuz idk lol omg pls plz ur
""")
NOT_A_NAME = _words("""
i me my you your he him his she her it its we us our they them their this that these those here there and
or but so if then than not no yes ok okay just very too also really always never sad tired depressed
anxious happy angry lost alone scared afraid sick sorry fine good bad new old trying going feeling having
getting being looking not unsure important secret mom dad mum mama papa mommy daddy lord god jesus christ
buddha allah satan santa heaven hell everyone anybody someone nobody all both monday tuesday wednesday
thursday friday saturday sunday january february march july september october november december therapist
counselor doctor client patient team sir madam guys folks friend friends reader again everybody christmas
easter ptsd adhd ocd bpd cbt dbt emdr aa internet web phd wanna gonna gotta kinda sorta dunno lemme gimme
cuz coz imma tryna hubby
""")
# Single words that the model takes for people; a name only after a cue ("my friend Dell").
BRANDS = _words("""
dell gucci chanel prada zara nike adidas lexus chrysler honda toyota ford dodge jeep sony bose canon nikon
disney hilton marriott walmart target macy levi porsche tesla ferrari cadillac lincoln hermes dior
burberry fendi versace armani lego barbie kleenex tylenol advil prozac zoloft xanax lexapro cialis viagra
ambien adderall ritalin lithium paxil celexa cymbalta effexor wellbutrin seroquel abilify google facebook
amazon twitter youtube skype zoom uber netflix alexa siri cortana kindle garmin fitbit medicaid medicare
pharma headspace reddit snapchat instagram tinder bumble kaiser gottman
""") - _words("gottman")
# Frequent words of English and of other languages in Latin letters, to see which of them a passage is written in.
ENGLISH_WORDS = _words("""
the of and to in is that it was for on are with as i his they be at one have this from or had by but what
some we can out other were all there when up use your how said an each she which do their if will way
about many then them would like so these her him has my you not just been because me he
""")
OTHER_WORDS = _words("""
¿ ¡ que qué de la el en los las un una por para con mi se lo su del como más pero sus le ya o este sí
porque esta entre cuando muy sin sobre también hasta hay donde quien desde todo nos durante und der die
das ist nicht ich zu den mit sich auf für im dem ein eine auch es an werden aus er hat dass sie nach wird
bei et les des une est pas je vous dans qui sur au plus par ne ce il elle nous avec mais não uma os ao seu
sua pela che di non sono il per della del con una het een van ik niet
""")
# Brands, books and phrases made of given names; compared in lower case.
BRAND_PHRASES = (
    "ben & jerry", "ben and jerry", "jack daniel", "johnnie walker", "johnny walker", "victoria's secret",
    "mary kay", "tommy hilfiger", "calvin klein", "ralph lauren", "kate spade", "michael kors",
    "trader joe", "wendy's", "macy's", "papa john", "jimmy choo", "jimmy john", "estee lauder",
    "elizabeth arden", "paul mitchell", "marc jacobs", "levi's", "kelley blue book", "mary jane",
    "john deere", "st. john's wort", "harry potter", "uncle ben", "aunt jemima", "captain morgan",
    "jim beam", "jose cuervo", "dave & buster", "dave and buster", "denny's", "carl's jr", "arby's",
    "lindsay lohan's", "alexa", "steve madden", "eddie bauer", "jenny craig", "hello kitty", "barbie",
    "aunt flo", "dr. pepper", "dr pepper", "dr. martens", "doc martens", "dr. scholl", "christian dior",
    "louis vuitton", "peter pan", "murphy's law", "achilles", "adam's apple", "charlie horse",
    "john doe's law", "peeping tom", "tom and jerry", "ted talk",
)  # fmt: skip
CREDENTIALS = (
    "LMFT|LCSW|LPCC?|LPC|LMHC|LCPC|LCMHC|LICSW|LMSW|LGSW|LSW|MSW|MFT|AMFT|LAMFT|LCDC|LADC|NCC|CRC|RP|RMFT|RPC|"
    "Ph\\.?\\s?D\\.?|Psy\\.?\\s?D\\.?|Ed\\.?\\s?D|DBH|DSW|M\\.?\\s?D\\.?|RN|NP|PMHNP|M\\.?\\s?A\\.?|M\\.?\\s?S\\.?|M\\.?Ed|"
    "BCBA|CADC|LP|LAC|ATR"
)
